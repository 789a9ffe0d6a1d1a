package notify

import "time"

// The states of a notice.
const (
	// NoticeWaiting: it was not sent yet, or it is to be sent again at NextAt.
	NoticeWaiting = "waiting"
	// NoticeSent: it was sent, and the answer is not known yet.
	NoticeSent = "sent"
	// NoticeDelivered: the other side answered with a status of 200 to 299, as far as is
	// known without having redirected the message.
	NoticeDelivered = "delivered"
	// NoticeLost: the last attempt failed, and there will be no other.
	NoticeLost = "not_delivered"
	// NoticeSuperseded: a newer ping of the heartbeat took its place.
	NoticeSuperseded = "superseded"
)

// Notice is one message to a channel, in all of its attempts.
type Notice struct {
	// Event is start, success or fail for the heartbeat, and one of Events for a webhook.
	Event      string    `json:"event"`
	HappenedAt time.Time `json:"happened_at"`
	// State is one of the constants above.
	State    string `json:"state"`
	Attempts int64  `json:"attempts"`
	// NextAt is when it is due to be sent, or sent again; FinishedAt is zero until it is
	// delivered or given up.
	NextAt     time.Time `json:"next_at"`
	FinishedAt time.Time `json:"finished_at"`
	// HTTPStatus is that of the last answer, zero if there was none, and Error says without
	// the URL why it was not delivered.
	HTTPStatus int64  `json:"http_status"`
	Error      string `json:"error"`
}

// Notices are what the database knows of the messages to one channel. What is nil does not
// exist.
type Notices struct {
	// Last is the newest one that was not superseded, and Delivered the one that arrived
	// last.
	Last      *Notice `json:"last"`
	Delivered *Notice `json:"delivered"`
	// Lost is the newest one of those that were given up after Delivered arrived, of which
	// there are Losses.
	Lost   *Notice `json:"lost"`
	Losses int64   `json:"losses"`
}

// State says in one word how a channel is doing.
type State string

// The states of a channel, the worst first. It is in the first one that holds.
const (
	// StateFailing: messages were given up since one arrived last, the newest one has
	// failed again and again, or a secret of the channel is missing.
	StateFailing State = "failing"
	// StateWaiting: the newest message is about to be sent, or sent again.
	StateWaiting State = "waiting"
	// StateUnused: there was nothing to tell yet.
	StateUnused State = "unused"
	// StateDelivered: the newest message arrived.
	StateDelivered State = "delivered"
)

// States are the states of a channel, the worst first.
func States() []State { return []State{StateFailing, StateWaiting, StateUnused, StateDelivered} }

// failures is how many attempts in a row have to fail until a message that is sent again
// counts as a problem. A service that is being restarted takes the second one.
const failures = 3

// Failure returns the message that shows that the channel does not work, or nil. changed is
// when the URL was last set: what was given up before then says nothing about it.
func (n Notices) Failure(changed time.Time) *Notice {
	switch last := n.Last; {
	case n.Lost != nil && n.Lost.FinishedAt.After(changed):
		return n.Lost
	case last != nil && last.failed() >= failures && last.HappenedAt.After(changed):
		return last
	}
	return nil
}

// failed is how many attempts failed of a message that may still arrive.
func (n Notice) failed() int64 {
	switch n.State {
	case NoticeWaiting:
		return n.Attempts
	case NoticeSent:
		return n.Attempts - 1
	}
	return 0
}

// State returns how the channel is doing, if its secrets are there. changed is when its URL
// was last set.
func (n Notices) State(changed time.Time) State {
	switch {
	case n.Failure(changed) != nil:
		return StateFailing
	case n.Last == nil:
		return StateUnused
	case n.Last.State == NoticeWaiting, n.Last.State == NoticeSent:
		return StateWaiting
	case n.Last.State == NoticeDelivered:
		return StateDelivered
	}
	// It was lost with a URL that was changed since.
	return StateUnused
}

// SecretState says whether the vault has a secret of a channel.
type SecretState string

// The states of a secret.
const (
	SecretPresent    SecretState = "present"
	SecretMissing    SecretState = "missing"
	SecretUnreadable SecretState = "unreadable"
	// SecretUnknown: the reader may not know.
	SecretUnknown SecretState = "unknown"
)
