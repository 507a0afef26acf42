package stanza

// Condition is a stanza error condition (RFC 6120 §8.3.3). It is an error of its own, to be found by errors.Is in an Error.
type Condition string

// The conditions of RFC 6120 §8.3.3.
const (
	BadRequest            Condition = "bad-request"             // the stanza is malformed, or its content is
	Conflict              Condition = "conflict"                // something of that name exists
	FeatureNotImplemented Condition = "feature-not-implemented" // understood, not supported
	Forbidden             Condition = "forbidden"               // the sender lacks the permission
	Gone                  Condition = "gone"                    // the recipient has moved, or exists no more
	InternalServerError   Condition = "internal-server-error"   // our own fault
	ItemNotFound          Condition = "item-not-found"          // the address or the item does not exist
	JIDMalformed          Condition = "jid-malformed"           // an address that is none
	NotAcceptable         Condition = "not-acceptable"          // the recipient's criteria are not met
	NotAllowed            Condition = "not-allowed"             // nobody may do this
	NotAuthorized         Condition = "not-authorized"          // the sender has not proved who it is
	PolicyViolation       Condition = "policy-violation"        // a local rule forbids it
	RecipientUnavailable  Condition = "recipient-unavailable"   // not there for now
	Redirect              Condition = "redirect"                // to be sent elsewhere, for now
	RegistrationRequired  Condition = "registration-required"   // the sender is not registered
	RemoteServerNotFound  Condition = "remote-server-not-found" // the domain does not resolve, or nothing answers there
	RemoteServerTimeout   Condition = "remote-server-timeout"   // it resolves, but no stream came about
	ResourceConstraint    Condition = "resource-constraint"     // too busy
	ServiceUnavailable    Condition = "service-unavailable"     // no such service, or not for this sender
	SubscriptionRequired  Condition = "subscription-required"   // the sender is not subscribed
	UndefinedCondition    Condition = "undefined-condition"     // an application's own condition says more
	UnexpectedRequest     Condition = "unexpected-request"      // out of order
)

// Error makes a Condition a target for errors.Is.
func (c Condition) Error() string { return string(c) }

// defined reports whether c is one of the conditions above.
func (c Condition) defined() bool {
	switch c {
	case BadRequest, Conflict, FeatureNotImplemented, Forbidden, Gone, InternalServerError, ItemNotFound, JIDMalformed, NotAcceptable, NotAllowed,
		NotAuthorized, PolicyViolation, RecipientUnavailable, Redirect, RegistrationRequired, RemoteServerNotFound, RemoteServerTimeout,
		ResourceConstraint, ServiceUnavailable, SubscriptionRequired, UndefinedCondition, UnexpectedRequest:
		return true
	}
	return false
}

// DefaultType returns the error type that RFC 6120 §8.3.3 gives the condition.
func (c Condition) DefaultType() string {
	switch c {
	case BadRequest, JIDMalformed, NotAcceptable, PolicyViolation, Redirect:
		return "modify"
	case Forbidden, NotAuthorized, RegistrationRequired, SubscriptionRequired:
		return "auth"
	case RecipientUnavailable, RemoteServerTimeout, ResourceConstraint, UnexpectedRequest:
		return "wait"
	}
	return "cancel"
}

// LegacyCode returns the number that servers before RFC 3920 know the condition by (XEP-0086 §3). PolicyViolation is younger than the
// codes and gets that of NotAcceptable.
func (c Condition) LegacyCode() int {
	switch c {
	case Gone, Redirect:
		return 302
	case BadRequest, JIDMalformed, UnexpectedRequest:
		return 400
	case NotAuthorized:
		return 401
	case Forbidden:
		return 403
	case ItemNotFound, RecipientUnavailable, RemoteServerNotFound:
		return 404
	case NotAllowed:
		return 405
	case NotAcceptable, PolicyViolation:
		return 406
	case RegistrationRequired, SubscriptionRequired:
		return 407
	case Conflict:
		return 409
	case FeatureNotImplemented:
		return 501
	case ServiceUnavailable:
		return 503
	case RemoteServerTimeout:
		return 504
	}
	return 500
}
