package content

import (
	"bytes"

	"sallyport/internal/stanza"
)

// meaning is what an element of a namespace makes of a stanza.
type meaning struct {
	class   Class
	sign    sign
	special special // for what depends on more than the namespace
	machine bool    // what is written in its elements is by programs and for programs: numbers, keys, ids
}

// spaces are the namespaces that are known (PROTOCOL §9). An element of one without a class is no more than itself: known, and harmless.
var spaces = map[string]meaning{
	"jabber:server": {}, "jabber:client": {}, // see Classify
	"urn:ietf:params:xml:ns:xmpp-stanzas": {},

	nsXHTMLIM:                             {class: Text, special: isXHTML},
	nsXHTML:                               {class: Text, special: isXHTML},
	"urn:xmpp:message-correct":            {class: Text},
	"urn:xmpp:message-retract":            {class: Text},
	"urn:xmpp:reply":                      {class: Text},
	"urn:xmpp:reactions":                  {class: Text},
	"urn:xmpp:fallback":                   {class: Text},
	"urn:xmpp:styling":                    {class: Text},
	"urn:xmpp:markup":                     {class: Text},
	"urn:xmpp:spoiler":                    {class: Text},
	"urn:xmpp:fasten":                     {class: Text},
	"urn:xmpp:rtt":                        {class: Text | RTT},
	"http://jabber.org/protocol/tune":     {},
	"http://jabber.org/protocol/geoloc":   {},
	"http://jabber.org/protocol/mood":     {},
	"http://jabber.org/protocol/activity": {},

	"http://jabber.org/protocol/chatstates": {class: Signal},
	"urn:xmpp:receipts":                     {class: Signal},
	"urn:xmpp:chat-markers":                 {class: Signal},
	"urn:xmpp:hints":                        {class: Signal},
	"urn:xmpp:delay":                        {class: Signal},
	"jabber:x:delay":                        {class: Signal},
	"jabber:x:event":                        {class: Signal, machine: true},
	"urn:xmpp:attention":                    {class: Signal},
	"http://jabber.org/protocol/nick":       {},
	"urn:xmpp:sid":                          {},
	"urn:xmpp:ping":                         {},
	"urn:xmpp:idle":                         {},
	"urn:xmpp:occupant-id":                  {},
	nsLabel:                                 {machine: true},
	"urn:xmpp:sec-label:catalog":            {},
	"urn:xmpp:sec-label:ess":                {machine: true},
	"urn:xmpp:eme":                          {},
	"http://jabber.org/protocol/shim":       {},
	"jabber:x:data":                         {},
	"http://jabber.org/protocol/rsm":        {machine: true},
	"http://jabber.org/protocol/caps":       {},
	"http://jabber.org/protocol/disco#info": {special: isDisco}, "http://jabber.org/protocol/disco#items": {},
	"jabber:x:signed":                      {machine: true},
	"vcard-temp":                           {special: isVCard},
	"vcard-temp:x:update":                  {machine: true},
	"urn:ietf:params:xml:ns:vcard-4.0":     {special: isVCard},
	"jabber:iq:search":                     {},
	"jabber:iq:roster":                     {class: Admin},
	"jabber:iq:private":                    {class: Admin},
	"jabber:iq:privacy":                    {class: Admin},
	"jabber:iq:auth":                       {class: Admin},
	"jabber:iq:register":                   {class: Register},
	"jabber:iq:gateway":                    {class: Gateway},
	"jabber:iq:version":                    {class: Disclosure, machine: true},
	"jabber:iq:last":                       {class: Disclosure},
	"jabber:iq:time":                       {class: Disclosure, machine: true},
	"jabber:iq:browse":                     {class: Disclosure},
	"urn:xmpp:time":                        {class: Disclosure, machine: true},
	"urn:xmpp:mam":                         {special: isArchive},
	"urn:xmpp:blocking":                    {class: Admin},
	"urn:xmpp:push":                        {class: Admin},
	"urn:xmpp:privilege":                   {class: Admin},
	"urn:xmpp:delegation":                  {class: Admin},
	"urn:xmpp:serverinfo":                  {class: Disclosure, machine: true},
	"jabber:x:roster":                      {class: Admin},
	"http://jabber.org/protocol/rosterx":   {class: Admin},
	"http://jabber.org/protocol/commands":  {class: Admin},
	"http://jabber.org/protocol/address":   {class: Admin},
	"http://jabber.org/protocol/admin":     {class: Admin},
	"jabber:component:accept":              {class: Admin},
	"http://jabber.org/protocol/muc#owner": {class: MUC}, "http://jabber.org/protocol/muc#admin": {class: MUC},
	"http://jabber.org/protocol/muc":         {class: MUC},
	"http://jabber.org/protocol/muc#user":    {class: MUC, special: isMUCUser},
	"http://jabber.org/protocol/muc#request": {class: MUC},
	"http://jabber.org/protocol/muc#unique":  {class: MUC},
	"jabber:x:conference":                    {class: Invite},
	"urn:xmpp:mix":                           {class: MUC},
	"urn:xmpp:mix:core":                      {class: MUC},
	"urn:xmpp:mix:core:searchable":           {class: MUC},
	"urn:xmpp:mix:core:create-channel":       {class: MUC},
	"urn:xmpp:mix:pam":                       {class: MUC},
	"urn:xmpp:mix:admin":                     {class: MUC},
	"urn:xmpp:mix:anon":                      {class: MUC},
	"urn:xmpp:mix:misc":                      {class: MUC},
	"urn:xmpp:mix:presence":                  {class: MUC},
	"urn:xmpp:mix:roster":                    {class: MUC},
	"urn:xmpp:bookmarks":                     {class: PubSub},
	"storage:bookmarks":                      {class: PubSub},

	"http://jabber.org/protocol/pubsub":       {class: PubSub},
	"http://jabber.org/protocol/pubsub#event": {class: PubSub}, "http://jabber.org/protocol/pubsub#owner": {class: PubSub},
	"http://jabber.org/protocol/pubsub#errors": {class: PubSub},
	"http://www.w3.org/2005/Atom":              {class: Text},

	"eu.siacs.conversations.axolotl": {special: isOMEMO},
	"urn:xmpp:omemo":                 {special: isOMEMO},
	"urn:xmpp:openpgp":               {special: isOpenPGP},
	"jabber:x:encrypted":             {class: OpenPGP, sign: openPGPCipher},
	"urn:xmpp:otr":                   {class: OTR},
	"urn:xmpp:ssn":                   {class: Unknown},
	"urn:xmpp:sce":                   {class: Unknown},

	"urn:xmpp:carbons": {special: isCarbons},
	"urn:xmpp:forward": {},

	"urn:xmpp:jingle:apps:file-transfer":                  {class: File, sign: fileSession},
	"http://jabber.org/protocol/si":                       {class: File},
	"http://jabber.org/protocol/si/profile/file-transfer": {class: File},
	"http://jabber.org/protocol/bytestreams":              {class: File},
	"http://jabber.org/protocol/ibb":                      {class: FileInband},
	"urn:xmpp:jingle:transports:s5b":                      {class: File, sign: fileSession},
	"urn:xmpp:jingle:transports:ibb":                      {class: FileInband, sign: fileSession},
	"urn:xmpp:http:upload":                                {class: File},
	"urn:xmpp:http:upload:purpose":                        {class: File},
	"eu:siacs:conversations:http:upload":                  {class: File},
	"urn:xmpp:http":                                       {class: File},
	"urn:xmpp:sfs":                                        {class: File},
	"urn:xmpp:esfs":                                       {class: File},
	"urn:xmpp:hashes":                                     {machine: true},
	"urn:xmpp:jingle:apps:rtp:zrtp":                       {machine: true},
	"urn:xmpp:file:metadata":                              {class: File},
	"urn:xmpp:reference":                                  {special: isReference},
	"urn:xmpp:sims":                                       {class: File},
	"urn:xmpp:media-element":                              {class: File},
	"jabber:x:oob":                                        {class: File},
	"jabber:iq:oob":                                       {class: File},
	"urn:xmpp:bob":                                        {class: FileInband},
	"urn:xmpp:avatar:data":                                {class: File},
	"urn:xmpp:avatar:metadata":                            {machine: true},

	"urn:xmpp:jingle":                       {special: isJingle},
	"urn:xmpp:jingle:apps:rtp":              {special: isRTP},
	"urn:xmpp:jingle:apps:dtls":             {machine: true},
	"urn:xmpp:jingle:apps:grouping":         {},
	"urn:xmpp:jingle:transports:ice-udp":    {},
	"urn:xmpp:jingle:transports:ice":        {},
	"urn:xmpp:jingle:transports:raw-udp":    {},
	"urn:xmpp:jingle:errors":                {},
	"urn:xmpp:jingle-message":               {class: CallControl},
	"urn:xmpp:call-invites":                 {special: isCallInvite},
	"urn:xmpp:jingle:muji":                  {class: CallControl},
	"http://telepathy.freedesktop.org/muji": {class: CallControl},
	"http://www.google.com/session":         {class: CallControl},
	"http://www.google.com/session/phone":   {class: CallAudio},
	"http://www.google.com/session/video":   {class: CallVideo},
	"http://www.google.com/session/share":   {class: File},
	"http://www.google.com/transport/p2p":   {},
}

// of looks a namespace up, and then without what stands behind its last colon or hash: a later version of what is known is not a way
// past a rule. It is known where that is a version; with anything else it is one more payload that nobody has heard of.
func of(space []byte) (m meaning, known bool) {
	if m, ok := spaces[string(space)]; ok {
		return m, true
	}
	const family = "urn:xmpp:"
	if !bytes.HasPrefix(space, []byte(family)) {
		return meaning{}, false
	}
	known = true
	for i, end := len(space)-1, len(space); i > len(family); i-- {
		if c := space[i]; c != ':' && c != '#' {
			continue
		}
		known = known && (space[i] == '#' || number(space[i+1:end]))
		if m, ok := spaces[string(space[:i])]; ok {
			return m, known
		}
		end = i
	}
	return meaning{}, false
}

// machine tells elements in which programs write. A person's words in them reach nobody who has the usual programs.
func machine(m meaning, local string) bool {
	switch {
	case m.class&(File|FileInband) != 0:
		return local != "desc" && local != "description"
	case m.special == isVCard:
		return local == "BINVAL"
	}
	return m.machine || m.special == isOMEMO || m.special == isOpenPGP || m.class&OpenPGP != 0
}

// Prose tells the elements whose text is known to be people's: nicknames, forms, reasons, what is said with an error.
func Prose(space, local string) bool {
	m, known := of([]byte(space))
	return known && !machine(m, local)
}

func number(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// special is a namespace of which the element's name or an attribute counts.
type special uint8

const (
	plain special = iota
	isArchive
	isDisco
	isVCard
	isXHTML
	isMUCUser
	isOMEMO
	isOpenPGP
	isCarbons
	isReference
	isJingle
	isRTP
	isCallInvite
)

// of is what the element at the cursor, of the given local name, makes of the stanza.
func (s special) of(local []byte, c *stanza.Cursor) (Class, sign) {
	name := string(local) // compared only, so not copied
	switch {
	case s == isArchive && (name == "query" || name == "prefs" || name == "metadata"): // results answer what we asked
		return Archive, 0
	case s == isVCard && (name == "PHOTO" || name == "LOGO" || name == "SOUND" || name == "photo" || name == "logo" || name == "sound"):
		return File, 0
	case s == isXHTML && (name == "img" || name == "object"):
		return picture(c), 0
	case s == isMUCUser && name == "invite":
		return Invite, 0
	case s == isOMEMO && name == "encrypted": // lists of devices and their keys are no content
		return OMEMO, omemoCipher
	case s == isOpenPGP && name == "openpgp":
		return OpenPGP, openPGPCipher
	case s == isCarbons && (name == "sent" || name == "received"): // legal from one's own server alone (XEP-0280 §11)
		return ForgedEnvelope, 0
	case s == isCarbons:
		return Signal, 0
	case s == isReference && string(c.Attr("type")) == "data":
		return File, 0
	case s == isReference:
		return Text, 0
	case s >= isJingle:
		return s.call(name, c)
	}
	return 0, 0
}

// picture is one that stands in XHTML, or where it is to be fetched.
func picture(c *stanza.Cursor) Class {
	for _, from := range []string{"src", "data"} {
		if at := bytes.TrimSpace(c.Attr(from)); len(at) >= len("data:") && bytes.EqualFold(at[:len("data:")], []byte("data:")) {
			return FileInband
		}
	}
	return File
}

// call is what an element of a session, or of an invitation to one, makes of the stanza.
func (s special) call(name string, c *stanza.Cursor) (Class, sign) {
	switch {
	case s == isJingle && name == "jingle":
		return 0, session
	case s == isJingle && name == "description":
		return 0, otherSession | foreignSession
	case s == isRTP && name == "description":
		if string(c.Attr("media")) == "audio" {
			return CallAudio, otherSession
		}
		return CallVideo, otherSession // whatever it is that is no sound
	case s == isCallInvite && name == "invite":
		if v := string(c.Attr("video")); v == "true" || v == "1" {
			return CallVideo | CallAudio, 0
		}
		return CallAudio, 0
	case s == isCallInvite:
		return CallControl, 0
	}
	return 0, 0
}
