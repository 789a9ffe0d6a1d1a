// The sample application's alerts by e-mail. It belongs to the application, not
// to the provider: the provider's function calls it and reads its answer. It
// keeps the contract of the function of this name that AIMindset runs, oddities
// included: every subscriber gets a mail, active or not; an alert of another
// type, or without subscribers, is a 200 that sent nothing.

interface Alert {
  type: string;
  source: string;
  message: string;
  details?: unknown;
  timestamp?: string;
}

const url = Deno.env.get("SUPABASE_URL")!;
const key = Deno.env.get("SUPABASE_SERVICE_ROLE_KEY")!;

function json(status: number, body: unknown): Response {
  return Response.json(body, { status });
}

function rest(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = {
    apikey: key,
    Authorization: `Bearer ${key}`,
    "Content-Type": "application/json",
  };
  return fetch(`${url}/rest/v1/${path}`, { ...init, headers });
}

/** The mail. The message goes into the HTML as it is, as AIMindset has it. */
function render(alert: Alert): string {
  const details = alert.details === undefined
    ? ""
    : `<pre>${JSON.stringify(alert.details, null, 2)}</pre>`;
  return `<h1>Alerta: ${alert.source}</h1><p>${alert.message}</p>${details}` +
    `<p>${alert.timestamp ?? new Date().toISOString()}</p>`;
}

async function send(to: string, alert: Alert): Promise<boolean> {
  const resend = Deno.env.get("RESEND_API_KEY");
  if (!resend) {
    console.log(`no RESEND_API_KEY: the mail to ${to} is only logged`);
    return true;
  }
  const response = await fetch(
    `${Deno.env.get("RESEND_API_URL") ?? "https://api.resend.com"}/emails`,
    {
      method: "POST",
      headers: { Authorization: `Bearer ${resend}`, "Content-Type": "application/json" },
      body: JSON.stringify({
        from: "AIMindset Alerts <alerts@resend.dev>",
        to: [to],
        subject: `🚨 [AIMindset] Alerta ${
          alert.type === "critical" ? "CRÍTICO" : "ERRO"
        } - ${alert.source}`,
        html: render(alert),
      }),
    },
  );
  await response.body?.cancel();
  return response.ok;
}

async function handle(request: Request): Promise<Response> {
  let alert: Alert;
  try {
    alert = await request.json();
  } catch (error) {
    return json(500, { error: "Internal server error", details: String(error) });
  }
  if (!alert?.type || !alert.source || !alert.message) {
    return json(400, { error: "Missing required fields: type, source, message" });
  }
  if (alert.type !== "critical" && alert.type !== "error") {
    return json(200, { message: "Alert type not configured for email notifications" });
  }
  const found = await rest("alert_subscriptions?select=email");
  if (!found.ok) {
    await found.body?.cancel();
    return json(500, { error: "Failed to fetch alert subscribers" });
  }
  const subscribers: { email: string }[] = await found.json();
  if (subscribers.length === 0) {
    return json(200, { message: "No alert subscribers found" });
  }
  const sent = await Promise.all(
    subscribers.map(({ email }) => send(email, alert).catch(() => false)),
  );
  const count = sent.filter((ok) => ok).length;
  const logged = await rest("rpc/insert_system_log", {
    method: "POST",
    body: JSON.stringify({
      p_type: "email",
      p_message: `Alerta enviado: ${alert.source}`,
      p_context: { emails_sent: count, emails_failed: sent.length - count, source: alert.source },
    }),
  });
  await logged.body?.cancel();
  return json(200, {
    message: "Alert processed successfully",
    emails_sent: count,
    emails_failed: sent.length - count,
    total_subscribers: subscribers.length,
  });
}

Deno.serve(async (request) => {
  if (request.method === "OPTIONS") return new Response("ok");
  try {
    return await handle(request);
  } catch (error) {
    console.error(error);
    return json(500, { error: "Internal server error", details: String(error) });
  }
});
