package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	invalidHeartbeat = "Invalid heartbeat"
	invalidWebhook   = "Invalid webhook"

	// mostWebhooks keeps a night on which much goes wrong from filling pg_net's queue,
	// through which the next backup is requested too.
	mostWebhooks = 10
)

var (
	heartbeatType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"url": types.StringType, "form": types.StringType, "language": types.StringType,
	}}
	webhookType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"url": types.StringType, "form": types.StringType, "events": types.SetType{ElemType: types.StringType},
		"language": types.StringType, "signing_secret": types.StringType,
	}}
)

type heartbeatModel struct {
	// URL is known in the configuration only.
	URL      types.String `tfsdk:"url"`
	Form     types.String `tfsdk:"form"`
	Language types.String `tfsdk:"language"`
}

type webhookModel struct {
	// URL and SigningSecret are known in the configuration only.
	URL           types.String `tfsdk:"url"`
	Form          types.String `tfsdk:"form"`
	Events        types.Set    `tfsdk:"events"`
	Language      types.String `tfsdk:"language"`
	SigningSecret types.String `tfsdk:"signing_secret"`
}

// webhooks returns those webhooks of a map that are known and not null.
func webhooks(ctx context.Context, configured types.Map, diags *diag.Diagnostics) map[string]webhookModel {
	return knownObjects[webhookModel](ctx, configured, diags)
}

// heartbeat returns the configured heartbeat, or nil if there is none or it is unknown.
func (m autoBackupModel) heartbeat(ctx context.Context, diags *diag.Diagnostics) *heartbeatModel {
	if m.Heartbeat.IsNull() || m.Heartbeat.IsUnknown() {
		return nil
	}
	result := &heartbeatModel{}
	diags.Append(m.Heartbeat.As(ctx, result, basetypes.ObjectAsOptions{})...)
	return result
}

// channels are the heartbeat and the webhooks of settings.
type channels struct {
	heartbeat *notify.Heartbeat
	webhooks  map[string]notify.Webhook
}

// channels reads the heartbeat and the webhooks of a plan. Which webhooks are signed, only
// the configuration says.
func (m autoBackupModel) channels(ctx context.Context) reading[channels] {
	var (
		diags  diag.Diagnostics
		result channels
	)
	if m.Heartbeat.IsUnknown() || m.Webhooks.IsUnknown() || slices.ContainsFunc(slices.Collect(maps.Values(m.Webhooks.Elements())), attr.Value.IsUnknown) {
		return unknown[channels]()
	}
	if h := m.heartbeat(ctx, &diags); h != nil {
		if h.Form.IsUnknown() || h.Language.IsUnknown() {
			return unknown[channels]()
		}
		result.heartbeat = &notify.Heartbeat{Form: h.Form.ValueString(), Language: h.Language.ValueString()}
	}
	for key, w := range webhooks(ctx, m.Webhooks, &diags) {
		if slices.ContainsFunc(slices.Concat([]attr.Value{w.Form, w.Events, w.Language}, w.Events.Elements()), attr.Value.IsUnknown) {
			return unknown[channels]()
		}
		if result.webhooks == nil {
			result.webhooks = map[string]notify.Webhook{}
		}
		result.webhooks[key] = notify.Webhook{Form: w.Form.ValueString(), Events: w.events(), Language: w.Language.ValueString()}
	}
	return readingOf(result, diags)
}

// events are the configured events, sorted. If none are configured, they are all.
func (m webhookModel) events() []string {
	if m.Events.IsNull() {
		return notify.Events()
	}
	events := []string{}
	for _, element := range m.Events.Elements() {
		if event, ok := element.(types.String); ok {
			events = append(events, event.ValueString())
		}
	}
	slices.Sort(events)
	return events
}

// channelSecrets are the vault secrets of a configuration's heartbeat and webhooks by
// name. Their values may be unknown.
func (m autoBackupModel) channelSecrets(ctx context.Context) map[string]attr.Value {
	all, name := map[string]attr.Value{}, m.nameOrDefault()
	if h := m.heartbeat(ctx, &diag.Diagnostics{}); h != nil {
		all[name.VaultHeartbeat()] = h.URL
	}
	for key, w := range webhooks(ctx, m.Webhooks, &diag.Diagnostics{}) {
		all[name.VaultWebhook(key)] = w.URL
		if !w.SigningSecret.IsNull() {
			all[name.VaultWebhookSecret(key)] = w.SigningSecret
		}
	}
	return all
}

// maySign reports whether a signing secret is unknown, and so perhaps null.
func (m autoBackupModel) maySign(ctx context.Context) bool {
	for _, w := range webhooks(ctx, m.Webhooks, &diag.Diagnostics{}) {
		if w.SigningSecret.IsUnknown() {
			return true
		}
	}
	return false
}

// sign notes in settings which webhooks have signing secrets among those of a
// configuration.
func sign[T any](settings *backup.Settings, name backup.Name, secrets map[string]T) {
	for key, webhook := range settings.Webhooks {
		_, webhook.Signed = secrets[name.VaultWebhookSecret(key)]
		settings.Webhooks[key] = webhook
	}
}

// channelPath is the path of the argument with the value of a vault secret.
func (m autoBackupModel) channelPath(secret string) path.Path {
	name := m.nameOrDefault()
	for key := range m.Webhooks.Elements() {
		switch at := path.Root("webhooks").AtMapKey(key); secret {
		case name.VaultWebhook(key):
			return at.AtName("url")
		case name.VaultWebhookSecret(key):
			return at.AtName("signing_secret")
		}
	}
	return path.Root("heartbeat").AtName("url")
}

// ofChannel reports whether a secret with a fingerprint is one of the vault's, of the
// heartbeat or of a webhook. No function secret has a slash in its name.
func ofChannel(secret string) bool { return strings.Contains(secret, "/") }

// validateChannels refuses a heartbeat and webhooks that cannot work, as far as they are
// known. No text quotes a URL or a secret.
func validateChannels(ctx context.Context, config autoBackupModel, diags *diag.Diagnostics) {
	known := func(value types.String) bool { return !value.IsNull() && !value.IsUnknown() }
	h := config.heartbeat(ctx, diags)
	if at := path.Root("heartbeat").AtName("url"); h != nil && known(h.URL) {
		err := notify.ValidateURL(h.URL.ValueString())
		// A form that is none is refused by its own validator.
		form := orDefault(h.Form, notify.Healthchecks).ValueString()
		if err == nil && !h.Form.IsUnknown() && slices.Contains(notify.HeartbeatForms(), form) {
			err = notify.Heartbeat{Form: form}.CheckURL(h.URL.ValueString())
		}
		if err != nil {
			diags.AddAttributeError(at, invalidHeartbeat, text.Sentence(err.Error()))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(config.Webhooks.Elements())) {
		if config.Webhooks.Elements()[key].IsNull() {
			diags.AddAttributeError(path.Root("webhooks").AtMapKey(key), invalidWebhook, "The webhook is null. Leave its key out to send it nothing.")
		}
	}
	all := webhooks(ctx, config.Webhooks, diags)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		w, at := all[key], path.Root("webhooks").AtMapKey(key)
		if known(w.URL) {
			err := notify.ValidateURL(w.URL.ValueString())
			if err == nil && slices.Contains(notify.WebhookForms(), w.Form.ValueString()) {
				err = notify.Webhook{Form: w.Form.ValueString()}.CheckURL(w.URL.ValueString())
			}
			if err != nil {
				diags.AddAttributeError(at.AtName("url"), invalidWebhook, text.Sentence(err.Error()))
			}
		}
		if known(w.SigningSecret) {
			if err := notify.ValidateSigningSecret(w.SigningSecret.ValueString()); err != nil {
				diags.AddAttributeError(at.AtName("signing_secret"), invalidWebhook, text.Sentence(err.Error()))
			}
		}
		if !w.SigningSecret.IsNull() && known(w.Form) && w.Form.ValueString() != notify.Generic {
			diags.AddAttributeError(at.AtName("signing_secret"), invalidWebhook,
				fmt.Sprintf("Only messages in the form %q are signed, and `form` is %q. Remove the signing secret, or write form = %[1]q.", notify.Generic, w.Form.ValueString()))
		}
		if h != nil && known(h.URL) && h.URL.Equal(w.URL) {
			diags.AddAttributeError(at.AtName("url"), "Webhook with the URL of the heartbeat",
				"The URL is that of `heartbeat` too, whose service would take each message for a ping of a backup that was made. Give the webhook a URL of its own.")
		}
		refuseTwice(key, all, diags)
	}
}

// refuseTwice refuses a webhook at whose URL another one, with a key before its own, has
// messages about the same events arrive.
func refuseTwice(key string, all map[string]webhookModel, diags *diag.Diagnostics) {
	w := all[key]
	for _, other := range slices.Sorted(maps.Keys(all)) {
		o := all[other]
		if other >= key || w.URL.IsNull() || w.URL.IsUnknown() || !w.URL.Equal(o.URL) || w.Events.IsUnknown() || o.Events.IsUnknown() {
			continue
		}
		twice := slices.DeleteFunc(w.events(), func(event string) bool { return event == "" || !slices.Contains(o.events(), event) })
		if len(twice) > 0 {
			diags.AddAttributeError(path.Root("webhooks").AtMapKey(key).AtName("url"), "Two webhooks with the same URL",
				fmt.Sprintf("`webhooks[%q]` has the same URL, and each message about %s would arrive twice. Remove one of the two, or give them different `events`.", other, strings.Join(twice, ", ")))
		}
	}
}

// heartbeatOf is the argument for the heartbeat that a project has.
func heartbeatOf(found *notify.Heartbeat) types.Object {
	if found == nil {
		return types.ObjectNull(heartbeatType.AttrTypes)
	}
	return types.ObjectValueMust(heartbeatType.AttrTypes, map[string]attr.Value{
		"url": types.StringNull(), "form": types.StringValue(found.Form), "language": types.StringValue(found.Language),
	})
}

// webhooksOf is the argument for the webhooks that a project has.
func webhooksOf(found map[string]notify.Webhook) types.Map {
	if len(found) == 0 {
		return types.MapNull(webhookType)
	}
	elements := map[string]attr.Value{}
	for key, webhook := range found {
		events := []attr.Value{}
		for _, event := range webhook.Events {
			events = append(events, types.StringValue(event))
		}
		elements[key] = types.ObjectValueMust(webhookType.AttrTypes, map[string]attr.Value{
			"url": types.StringNull(), "form": types.StringValue(webhook.Form), "events": types.SetValueMust(types.StringType, events),
			"language": types.StringValue(webhook.Language), "signing_secret": types.StringNull(),
		})
	}
	return types.MapValueMust(webhookType, elements)
}

// languageAttribute is the language of a channel's texts.
func languageAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(notify.Portuguese),
		Validators:          []validator.String{stringvalidator.OneOf(notify.Languages()...)},
		MarkdownDescription: "Language of the texts: `" + notify.Portuguese + "` or `" + notify.English + "`. Default: `" + notify.Portuguese + "`.",
	}
}

func heartbeatAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "A service outside the project that hears when a backup begins, succeeds and fails, and raises an alarm when it hears nothing: also when the project is paused, full or deleted. " +
			"The database sends the pings, a success only after the backup is known to be complete, and a failure after the last retry. A slow service delays no backup. Default: none.",
		Attributes: map[string]schema.Attribute{
			"url": schema.StringAttribute{
				Required: true, WriteOnly: true, Sensitive: true,
				MarkdownDescription: "URL that the service gave, for the pings. It must be `https`, except in a private network. Write-only, like `secrets`: it is kept in the project's vault, and in the state only its fingerprint.",
			},
			"form": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(notify.Healthchecks),
				Validators: []validator.String{stringvalidator.OneOf(notify.HeartbeatForms()...)},
				MarkdownDescription: "What the service understands: `" + notify.Healthchecks + "` (Healthchecks.io and services that are compatible with it), `" + notify.Sentry + "` (cron monitors), `" + notify.Cronitor + "`, " +
					"or `" + notify.Plain + "`: a request to the URL after each success, and nothing else. Default: `" + notify.Healthchecks + "`.",
			},
			"language": languageAttribute(),
		},
	}
}

func webhooksAttribute() schema.Attribute {
	events := []attr.Value{}
	for _, event := range notify.Events() {
		events = append(events, types.StringValue(event))
	}
	return schema.MapNestedAttribute{
		Optional:   true,
		Validators: []validator.Map{mapvalidator.SizeAtMost(mostWebhooks), mapvalidator.KeysAre(checked("must be a key of a webhook", notify.ValidateKey))},
		MarkdownDescription: "Addresses outside the project, by key, that get a message when something goes wrong, and when it is over. The database sends them, one about each incident, and tries again if one does not arrive. " +
			fmt.Sprintf("At most %d. Default: none.", mostWebhooks),
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"url": schema.StringAttribute{
				Required: true, WriteOnly: true, Sensitive: true,
				MarkdownDescription: "URL that the service gave. It must be `https`, except in a private network. Write-only, like the heartbeat's.",
			},
			"form": schema.StringAttribute{
				Required:   true,
				Validators: []validator.String{stringvalidator.OneOf(notify.WebhookForms()...)},
				MarkdownDescription: "What the service understands: `" + notify.Slack + "` (also for Mattermost and others that accept Slack's messages), `" + notify.Discord + "`, `" + notify.Teams + "` (a workflow of Microsoft Teams), " +
					"or `" + notify.Generic + "`: a JSON document with the headers of [Standard Webhooks](https://www.standardwebhooks.com).",
			},
			"events": schema.SetAttribute{
				ElementType: types.StringType, Optional: true, Computed: true,
				Default:    setdefault.StaticValue(types.SetValueMust(types.StringType, events)),
				Validators: []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(stringvalidator.OneOf(notify.Events()...))},
				MarkdownDescription: "What is told: `failed`: a backup that failed, after the last retry; `overdue`: none was made in time; `drill`: a restore drill that failed; `fidelity`: values or rows that a backup does not keep; " +
					"`offsite`: an off-site copy that failed; `recovered`: the end of any of these. Default: all.",
			},
			"language": languageAttribute(),
			"signing_secret": schema.StringAttribute{
				Optional: true, WriteOnly: true, Sensitive: true,
				MarkdownDescription: "Secret with which messages of the form `" + notify.Generic + "` are signed as Standard Webhooks says, so that the receiver knows who sent them: `whsec_` and 24 to 64 bytes in base64. " +
					"Write-only. Make one with `echo \"whsec_$(openssl rand -base64 32)\"`. Default: the messages are not signed.",
			},
		}},
	}
}
