# The decision on one stanza. Operators add members to deny:
#
#	deny contains {"rule": "no-files", "reason": "files stay inside"} if …
#
# A member must name its rule; reason, condition, message, audit and labels are its to give. One that says
# "effect": "drop" lets the stanza vanish instead of being answered.
package sallyport.stanza

import data.sallyport.inside
import data.sallyport.peer

decision := {"effect": "allow", "rule": "allow"} if {
	count(deny) == 0
} else := object.union({"condition": "policy-violation"}, object.union(first, {"effect": effect}))

# Of several members the first by the name of its rule speaks, so that the answer does not depend on chance.
first := sort([[member.rule, member] | some member in deny])[0][1]

effect := "drop" if {
	first.effect == "drop"
} else := "deny"

deny contains peer.refusal

deny contains inside.refusal
