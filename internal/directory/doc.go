// Package directory reads people and their groups out of an LDAP directory (RFC 4511), for policy's data.groups.
//
// It asks for two lists: people, with the address that each has in XMPP, and groups, with whom they hold. A group may hold groups. Membership
// is taken from the group's side (member), from the member's side (memberOf), or both. The outcome is a document like one that an operator
// would write, {"groups": {"staff": {"juliet@corp.example": {}}}}, and a [policy.Feed] puts it in force and keeps it.
//
// A directory is asked over TLS alone, with StartTLS or from the first byte. What it says is bounded in entries, bytes and time; referrals to
// other servers are not followed. No part of a filter comes from what a directory or a stranger says.
package directory
