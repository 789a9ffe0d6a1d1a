package provider

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
)

type heartbeatStatusModel struct {
	Form          string              `tfsdk:"form"`
	State         *string             `tfsdk:"state"`
	Secret        string              `tfsdk:"secret"`
	Losses        int64               `tfsdk:"losses"`
	Last          *noticeModel        `tfsdk:"last"`
	LastDelivered *deliveredPingModel `tfsdk:"last_delivered"`
}

type webhookStatusModel struct {
	Form          string              `tfsdk:"form"`
	Events        []string            `tfsdk:"events"`
	State         *string             `tfsdk:"state"`
	Secret        string              `tfsdk:"secret"`
	Losses        int64               `tfsdk:"losses"`
	Last          *noticeModel        `tfsdk:"last"`
	LastDelivered *deliveredPingModel `tfsdk:"last_delivered"`
}

type noticeModel struct {
	Event      string  `tfsdk:"event"`
	HappenedAt string  `tfsdk:"happened_at"`
	State      string  `tfsdk:"state"`
	Attempts   int64   `tfsdk:"attempts"`
	FinishedAt *string `tfsdk:"finished_at"`
	HTTPStatus *int64  `tfsdk:"http_status"`
	Error      *string `tfsdk:"error"`
}

type deliveredPingModel struct {
	Event       string  `tfsdk:"event"`
	HappenedAt  string  `tfsdk:"happened_at"`
	DeliveredAt *string `tfsdk:"delivered_at"`
}

// fillChannels puts the heartbeat and the webhooks into the attributes.
func (m *statusModel) fillChannels(s health.Status) {
	prefix := notify.WebhookChannel("")
	for channel, c := range s.Channels {
		state := optional(string(c.State))
		if channel == notify.HeartbeatChannel {
			m.Heartbeat = &heartbeatStatusModel{c.Form, state, string(c.Secret), c.Losses, noticeOf(c.Last), deliveredOf(c.Delivered)}
			continue
		}
		if m.Webhooks == nil {
			m.Webhooks = map[string]webhookStatusModel{}
		}
		m.Webhooks[strings.TrimPrefix(channel, prefix)] = webhookStatusModel{c.Form, c.Events, state, string(c.Secret), c.Losses, noticeOf(c.Last), deliveredOf(c.Delivered)}
	}
}

func noticeOf(n *notify.Notice) *noticeModel {
	if n == nil {
		return nil
	}
	m := &noticeModel{
		Event: n.Event, HappenedAt: rfc3339(n.HappenedAt), State: n.State, Attempts: n.Attempts, FinishedAt: optionalTime(n.FinishedAt), Error: optional(n.Error),
	}
	if n.HTTPStatus != 0 {
		m.HTTPStatus = &n.HTTPStatus
	}
	return m
}

func deliveredOf(n *notify.Notice) *deliveredPingModel {
	if n == nil {
		return nil
	}
	return &deliveredPingModel{n.Event, rfc3339(n.HappenedAt), optionalTime(n.FinishedAt)}
}

func heartbeatStatusAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Computed:            true,
		MarkdownDescription: "Whether the service of the heartbeat takes its pings, as far as the database knows. Null when there is no heartbeat. [The guide on notifications](../guides/notifications) says what is sent when.",
		Attributes:          channelAttributes("ping", "`start`, `success` or `fail`", "`healthchecks`, `sentry`, `cronitor` or `plain`"),
	}
}

func webhooksStatusAttribute() schema.Attribute {
	attributes := channelAttributes("message", "What it tells of, such as `failed`", "`slack`, `discord`, `teams` or `generic`")
	attributes["events"] = schema.ListAttribute{ElementType: types.StringType, Computed: true, MarkdownDescription: "What it is told of, sorted."}
	return schema.MapNestedAttribute{
		Computed:            true,
		MarkdownDescription: "Whether each webhook takes its messages, as far as the database knows, by key. Null when there is none.",
		NestedObject:        schema.NestedAttributeObject{Attributes: attributes},
	}
}

// channelAttributes are those of a channel whose messages are called what.
func channelAttributes(what, event, form string) map[string]schema.Attribute {
	text := func(description string) schema.Attribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	const happened = "When it happened. RFC 3339, UTC."
	return map[string]schema.Attribute{
		"form": text("Its form: " + form + "."),
		"state": text("`delivered`, the newest " + what + " arrived; `waiting`, it is about to be sent, or sent again; `unused`, there was nothing to tell since the URL was set; " +
			"`failing`, " + what + "s were given up since one arrived, or the newest one fails again and again, or a secret is missing. Null when it is not known."),
		"secret": text("Whether the vault has the URL, and the signing secret if there is one: `present`, `missing`, `unreadable` as after a restore into another project, or `unknown` to this reader."),
		"losses": schema.Int64Attribute{Computed: true, MarkdownDescription: "How many " + what + "s were given up since one arrived."},
		"last": schema.SingleNestedAttribute{
			Computed: true, MarkdownDescription: "The newest " + what + "; null when there is none.",
			Attributes: map[string]schema.Attribute{
				"event":       text(event + "."),
				"happened_at": text(happened),
				"state":       text("`waiting`, `sent`, `delivered`, or `not_delivered` if it was given up."),
				"attempts":    schema.Int64Attribute{Computed: true, MarkdownDescription: "How often it was sent."},
				"finished_at": text("When it was delivered or given up. RFC 3339, UTC; null until then."),
				"http_status": schema.Int64Attribute{Computed: true, MarkdownDescription: "HTTP status of the last answer; null without one."},
				"error":       text("Why the last attempt did not count as delivered, without the URL; null if there was nothing wrong."),
			},
		},
		"last_delivered": schema.SingleNestedAttribute{
			Computed: true, MarkdownDescription: "The " + what + " that arrived last; null when none has.",
			Attributes: map[string]schema.Attribute{
				"event":        text(event + "."),
				"happened_at":  text(happened),
				"delivered_at": text("When the service took it: it answered with a status of 200 to 299. RFC 3339, UTC."),
			},
		},
	}
}
