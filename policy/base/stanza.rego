# The decision on one stanza. Operators, and the ready-made policies that data switches on, add members to these sets:
#
#	deny contains {"rule": "no-files", "reason": "files stay inside"} if …
#	transform contains {"rule": "fold", "do": "fold-presence"} if …
#	notify contains {"rule": "dlp", "to": "officer", "text": "…"} if …
#	audit contains {"rule": "board", "level": "sealed"} if …
#	retention contains {"rule": "board", "class": "7y"} if …
#
# A member must name its rule. Of deny, reason, condition, message, audit and labels are its to give; one that says
# "effect": "drop" lets the stanza vanish instead of being answered.
package sallyport.stanza

import data.sallyport.inside
import data.sallyport.names
import data.sallyport.peer

decision := verdict if {
	not more
} else := object.union_n([verdict, {"transforms": changes, "notify": sort(notify)}, level, kept])

more if some _ in transform

more if some _ in notify

more if some _ in audit

more if some _ in retention

verdict := {"effect": "allow", "rule": "allow"} if {
	count(deny) == 0
} else := object.union_n([{"condition": "policy-violation"}, leading, {"effect": effect(leading)}]) if {
	leading
} else := object.union(first(watched), {"effect": "allow", "would": effect(first(watched))}) if {
	count(binding) == 0
	count(watched) > 0
} else := {"effect": "allow", "rule": "grant", "reason": excuse[first(deny).rule]} if {
	count(binding) == 0
}

leading := first(binding)

# Of several members the first by the name of its rule speaks, so that the answer does not depend on chance.
first(members) := member if {
	count(members) == 1
	some member in members
	member.rule
} else := sort([[member.rule, member] | some member in members])[0][1]

effect(member) := "drop" if {
	member.effect == "drop"
} else := "deny"

deny contains peer.refusal

deny contains inside.refusal

deny contains member if some member in data.sallyport.surface.deny

deny contains member if some member in data.sallyport.ready[_].deny

# excuse says of a rule why it does not hold this time: somebody has granted an exception.
excuse[rule] := why if {
	some rule, why in data.sallyport.ready[_].excuse
	not names.firm[rule]
}

# watched are those that only say what they would do.
watched contains member if {
	some member in deny
	not excuse[member.rule]
	observed(member.rule)
}

observed(rule) if {
	not names.firm[rule]
	some name in ["*", rule]
	data.sallyport.ready[_].observed[name]
}

# binding are those that hold.
binding := deny if {
	not lenient
} else := {member |
	some member in deny
	not excuse[member.rule]
	not observed(member.rule)
}

lenient if some _ in excuse

lenient if some _ in data.sallyport.ready[_].observed

transform contains member if some member in data.sallyport.ready[_].transform

notify contains member if some member in data.sallyport.ready[_].notify

audit contains member if some member in data.sallyport.ready[_].audit

retention contains member if some member in data.sallyport.ready[_].retention

# Members are passed on as they are, also those that say nothing of use: the gate refuses an answer that it does not understand in all of its
# parts. None may get lost on the way there.
changes := [member | some member in transform] if {
	count(transform) < 2
} else := [member | some [_, _, member] in sort(placed)]

placed := [[part(member, "order", 0), part(member, "rule", ""), member] | some member in transform]

part(member, key, otherwise) := object.get(member, key, otherwise) if {
	is_object(member)
} else := otherwise

# The highest level wins, for whoever asks for more of the record has a reason.
default level := {}

level := {"audit": sort(odd_levels)} if {
	some _ in asking
	count(odd_levels) > 0
} else := {"audit": levels[max(asked)]} if {
	count(audit) > 0
}

odd_levels contains member if {
	some member in asking
	not understood(member, "level", levels)
}

asking contains member if some member in audit

asking contains {"rule": verdict.rule, "level": verdict.audit}

asked contains rank[member.level] if some member in asking

levels := ["none", "link", "metadata", "sealed", "content"]

rank := {name: i | some i, name in levels}

default kept := {}

kept := {"retention": sort(odd_classes)} if {
	count(odd_classes) > 0
} else := {"retention": classed[0][1]} if {
	count(retention) > 0
}

odd_classes contains member if {
	some member in retention
	not understood(member, "class", classes)
}

classed := sort([[member.rule, member.class] | some member in retention])

classes := [member.class | some member in retention; is_string(member.class); member.class != ""]

# understood tells a member that has a rule, one of the words under the key, and nothing else.
understood(member, key, words) if {
	is_object(member)
	object.keys(member) == {"rule", key}
	is_string(member.rule)
	member.rule != ""
	member[key] in words
}
