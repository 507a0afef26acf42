package sallyport.ready.freeze_test

import data.sallyport.ready.freeze

asked(remote) := {"remote": {"domain": remote}}

test_all if {
	count(freeze.deny) == 1 with data.freeze as {"all": true} with input as asked("any.example")
	count(freeze.link_deny) == 1 with data.freeze as {"all": true} with input as asked("any.example")
}

test_some[remote] if {
	some remote, stopped in {"cold.example": true, "a.group.example": true, "warm.example": false}
	denied := freeze.deny with data.freeze as {"all": false, "peers": {"cold.example": true, "*.group.example": true}} with input as asked(remote)
	(count(denied) == 1) == stopped
}

test_shape if {
	freeze.faults == {
		`data.freeze.all is "no", must be true or false`, `data.freeze.message is 1, must be a text`,
		`data.freeze.peers is ["x.example"], must be an object of domains, each true or false`,
	} with data.freeze as {"all": "no", "message": 1, "peers": ["x.example"]}
	freeze.faults == set() with data.freeze as {"all": false, "message": "later", "peers": {"x.example": true}}
}

test_faults if freeze.faults == {"data.freeze.peer: there are all, peers and message"} with data.freeze as {"peer": {}}
