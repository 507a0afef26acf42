package sallyport.ready.urls_test

import data.sallyport.ready.urls

naming(direction, url) := {"direction": direction, "stanza": {"urls": [url]}}

documents := {"hosts": {"www.corp.example": true, "*.partner.example": true}, "direction": "out"}

test_hosts[url] if {
	some url, allowed in {
		"https://www.corp.example/a": true,
		"https://www.corp.example:8443/a": true,
		"http://user@www.corp.example?q": true,
		"https://up.partner.example#f": true,
		"https://partner.example/": false,
		"https://evil.example/www.corp.example": false,
		"https://www.corp.example@evil.example/": false,
		"http://www.corp.example:81": true,
		"http://192.0.2.1/a": false,
		`https://evil.example\@www.corp.example/`: false,
		"https://a@evil.example@www.corp.example/": true,
		"https:evil.example": false,
		"https:///evil.example": false,
		"https://[2001:db8::1]:443/": false,
		"mailto:a@evil.example": false,
		"data:text/html": false,
	}
	denied := urls.deny with data.urls as documents with input as naming("out", url)
	(count(denied) == 0) == allowed
}

test_other_direction if urls.deny == set() with data.urls as documents with input as naming("in", "https://evil.example/")

test_reason_names_the_host if {
	some denied in urls.deny with data.urls as documents with input as naming("out", "https://evil.example/x")
	denied.reason == "it names evil.example"
}

test_faults if {
	urls.faults == {"data.urls.host: there are hosts and direction", "data.urls.hosts must be an object, keyed by host", "data.urls.direction must be in, out or both"} with data.urls as {"host": {}, "hosts": [], "direction": "up"}
	urls.faults == set() with data.urls as documents
}
