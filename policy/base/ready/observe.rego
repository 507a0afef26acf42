# Rules and peers that only say what they would do.
package sallyport.ready.observe

import data.sallyport.names
import data.sallyport.peer

# observed names the rules whose denial is recorded and not obeyed; "*" stands for all.
observed[rule] if {
	some rule, on in data.observe.rules
	on == true
}

observed["*"] if whole

whole if {
	some name in sallyport.names(input.remote.domain)
	entry := data.observe.peers[name]
	entry != false
	not peer.ended(entry)
}

faults contains sprintf("data.observe.%s: there are peers and rules", [name]) if {
	some name, _ in data.observe
	not name in {"peers", "rules"}
}

faults contains sprintf("data.observe.rules[%q]: this rule is never only observed", [rule]) if {
	some rule, on in data.observe.rules
	on
	names.firm[rule]
}
