# Names of rules that other packages have to know.
package sallyport.names

# firm are the rules that no grant lifts, and that are never only observed: what crosses in clear or under a false name cannot be called
# back, the switch stops everything, and what data.internal keeps inside is let out there and nowhere else.
firm := {
	"channel-floor", "forged-envelope", "freeze", "pin", "revoked",
	"internal-domain", "internal-group", "internal-label", "internal-room", "internal-user",
}

# kinds and classes are what stanzas are; policy/schema/input.json has the same.
kinds := {"message", "presence", "iq"}

classes := split("admin archive call.audio call.control call.video disclosure e2ee.omemo e2ee.openpgp e2ee.otr file file.inband forged-envelope gateway invite muc presence pubsub register rtt signal subscribe text unknown", " ")
