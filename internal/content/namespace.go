package content

import (
	"strings"

	"sallyport/internal/stanza"
)

// meaning is what an element of a namespace makes of a stanza.
type meaning struct {
	class   Class
	special special // for what depends on more than the namespace
}

// spaces are the namespaces that are known (PROTOCOL §9). An element of one without a class is no more than itself: known, and harmless.
var spaces = map[string]meaning{
	"jabber:server": {}, "jabber:client": {}, // see Classify
	"urn:ietf:params:xml:ns:xmpp-stanzas": {},

	"http://jabber.org/protocol/xhtml-im": {class: Text},
	"http://www.w3.org/1999/xhtml":        {class: Text},
	"urn:xmpp:message-correct":            {class: Text},
	"urn:xmpp:message-retract":            {class: Text},
	"urn:xmpp:reply":                      {class: Text},
	"urn:xmpp:reactions":                  {class: Text},
	"urn:xmpp:fallback":                   {class: Text},
	"urn:xmpp:styling":                    {class: Text},
	"urn:xmpp:markup":                     {class: Text},
	"urn:xmpp:spoiler":                    {class: Text},
	"urn:xmpp:fasten":                     {class: Text},
	"urn:xmpp:rtt":                        {class: Text},
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
	"jabber:x:event":                        {class: Signal},
	"urn:xmpp:attention":                    {class: Signal},
	"http://jabber.org/protocol/nick":       {},
	"urn:xmpp:sid":                          {},
	"urn:xmpp:ping":                         {},
	"urn:xmpp:idle":                         {},
	"urn:xmpp:occupant-id":                  {},
	"urn:xmpp:sec-label":                    {},
	"urn:xmpp:eme":                          {},
	"http://jabber.org/protocol/shim":       {},
	"jabber:x:data":                         {},
	"http://jabber.org/protocol/rsm":        {},
	"http://jabber.org/protocol/caps":       {},
	"http://jabber.org/protocol/disco#info": {}, "http://jabber.org/protocol/disco#items": {},
	"jabber:x:signed":                      {},
	"vcard-temp":                           {special: isVCard},
	"vcard-temp:x:update":                  {},
	"jabber:iq:search":                     {},
	"jabber:iq:roster":                     {class: Admin},
	"jabber:iq:private":                    {class: Admin},
	"jabber:iq:privacy":                    {class: Admin},
	"jabber:iq:auth":                       {class: Admin},
	"jabber:iq:register":                   {class: Register},
	"jabber:iq:gateway":                    {class: Gateway},
	"jabber:iq:version":                    {class: Disclosure},
	"jabber:iq:last":                       {class: Disclosure},
	"jabber:iq:time":                       {class: Disclosure},
	"jabber:iq:browse":                     {class: Disclosure},
	"urn:xmpp:time":                        {class: Disclosure},
	"urn:xmpp:mam":                         {special: isArchive},
	"urn:xmpp:blocking":                    {class: Admin},
	"urn:xmpp:push":                        {class: Admin},
	"urn:xmpp:privilege":                   {class: Admin},
	"urn:xmpp:delegation":                  {class: Admin},
	"urn:xmpp:serverinfo":                  {class: Disclosure},
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
	"urn:xmpp:bookmarks":                     {class: PubSub},
	"storage:bookmarks":                      {class: PubSub},

	"http://jabber.org/protocol/pubsub":       {class: PubSub},
	"http://jabber.org/protocol/pubsub#event": {class: PubSub}, "http://jabber.org/protocol/pubsub#owner": {class: PubSub},
	"http://jabber.org/protocol/pubsub#errors": {class: PubSub},
	"http://www.w3.org/2005/Atom":              {class: Text},

	"eu.siacs.conversations.axolotl": {special: isOMEMO},
	"urn:xmpp:omemo":                 {special: isOMEMO},
	"urn:xmpp:openpgp":               {special: isOpenPGP},
	"jabber:x:encrypted":             {class: OpenPGP},
	"urn:xmpp:otr":                   {class: OTR},
	"urn:xmpp:ssn":                   {class: Unknown},
	"urn:xmpp:sce":                   {class: Unknown},

	"urn:xmpp:carbons": {special: isCarbons},
	"urn:xmpp:forward": {},

	"urn:xmpp:jingle:apps:file-transfer":                  {class: File},
	"http://jabber.org/protocol/si":                       {class: File},
	"http://jabber.org/protocol/si/profile/file-transfer": {class: File},
	"http://jabber.org/protocol/bytestreams":              {class: File},
	"http://jabber.org/protocol/ibb":                      {class: FileInband},
	"urn:xmpp:jingle:transports:s5b":                      {class: File},
	"urn:xmpp:jingle:transports:ibb":                      {class: FileInband},
	"urn:xmpp:http:upload":                                {class: File},
	"urn:xmpp:http":                                       {class: File},
	"urn:xmpp:sfs":                                        {class: File},
	"urn:xmpp:esfs":                                       {class: File},
	"urn:xmpp:file:metadata":                              {class: File},
	"urn:xmpp:reference":                                  {special: isReference},
	"urn:xmpp:sims":                                       {class: File},
	"urn:xmpp:media-element":                              {class: File},
	"jabber:x:oob":                                        {class: File},
	"jabber:iq:oob":                                       {class: File},
	"urn:xmpp:bob":                                        {class: FileInband},
	"urn:xmpp:avatar:data":                                {class: File},
	"urn:xmpp:avatar:metadata":                            {},

	"urn:xmpp:jingle":                       {special: isJingle},
	"urn:xmpp:jingle:apps:rtp":              {special: isRTP},
	"urn:xmpp:jingle:apps:dtls":             {},
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

// of looks a namespace up, and then without what stands behind its last colon: a version, a fragment. A later version of what is known
// is not a way past a rule.
func of(space []byte) (meaning, bool) {
	if m, ok := spaces[string(space)]; ok {
		return m, true
	}
	for s := string(space); ; {
		i := strings.LastIndexAny(s, ":#")
		if i < len("urn:xmpp:") || !strings.HasPrefix(s, "urn:xmpp:") {
			return meaning{}, false
		}
		s = s[:i]
		if m, ok := spaces[s]; ok {
			return m, true
		}
	}
}

// special is a namespace of which the element's name or an attribute counts.
type special uint8

const (
	plain special = iota
	isArchive
	isVCard
	isMUCUser
	isOMEMO
	isOpenPGP
	isCarbons
	isReference
	isJingle
	isRTP
	isCallInvite
)

// class is what the element at the cursor, of the given local name, makes of the stanza.
func (s special) class(local []byte, c *stanza.Cursor) Class {
	name := string(local) // compared only, so not copied
	switch {
	case s == isArchive && (name == "query" || name == "prefs" || name == "metadata"): // results answer what we asked
		return Archive
	case s == isVCard && (name == "PHOTO" || name == "LOGO" || name == "SOUND"):
		return File
	case s == isMUCUser && name == "invite":
		return Invite
	case s == isOMEMO && name == "encrypted": // lists of devices and their keys are no content
		return OMEMO
	case s == isOpenPGP && name == "openpgp":
		return OpenPGP
	case s == isCarbons && (name == "sent" || name == "received"): // legal from one's own server alone (XEP-0280 §11)
		return ForgedEnvelope
	case s == isCarbons:
		return Signal
	case s == isReference && string(c.Attr("type")) == "data":
		return File
	case s == isReference:
		return Text
	case s == isJingle && name == "jingle":
		return CallControl
	case s == isRTP && name == "description":
		if string(c.Attr("media")) == "audio" {
			return CallAudio
		}
		return CallVideo // whatever it is that is no sound
	case s == isCallInvite && name == "invite":
		if v := string(c.Attr("video")); v == "true" || v == "1" {
			return CallVideo | CallAudio
		}
		return CallAudio
	case s == isCallInvite:
		return CallControl
	}
	return 0
}
