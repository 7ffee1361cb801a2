//! Registering and changing a connection on a page.
use super::{
    connections::trial,
    page::{self, Answer},
};
use crate::{
    api::{ApiState, Expected, administered, connections as api},
    problem::Problem,
    rights::Asker,
    types::{ConnectionSpec, ConnectionView},
};
use axum::{
    Form,
    extract::{Path, Query, State, rejection::FormRejection},
    http::StatusCode,
};
use doorward_model::{Administration, Secret};
use doorward_ui::{ConnectionFields, ConnectionForm, Inert, POLICY, Section, Trial};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// What was sent. What is not sent is empty: a tick that is not set, a field that the kind has not.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sent {
    name: String,
    kind: String,
    listen: String,
    upstream: String,
    database: String,
    user: String,
    credential: String,
    secret: String,
    tls: String,
    tls_ca: String,
    host_keys: String,
    trust: String,
    impersonate: String,
    held: String,
    ends: String,
    labels: String,
    tags: String,
    version: Option<i64>,
    #[serde(rename = "do")]
    what: String,
}

#[derive(Deserialize)]
pub(crate) struct Kind {
    kind: Option<String>,
}

/// What is shown beside the fields.
#[derive(Default)]
struct Shown {
    problem: Option<Problem>,
    /// What became of a credential that was typed: pages do not give it back.
    note: String,
    trial: Option<Trial>,
    /// Of a trial the answer is what is wrong, too: script puts no other in its place.
    is_answer: bool,
}

pub(crate) async fn new(State(state): State<ApiState>, asker: Asker, Query(asked): Query<Kind>) -> Answer {
    asker.may_on_any(Administration::EditConnections)?;
    let known = ["postgres", "mysql", "ssh", "kubernetes"];
    let kind = asked.kind.filter(|k| known.contains(&k.as_str())).unwrap_or_else(|| "postgres".to_owned());
    let fields = ConnectionFields { kind, tls: "verify-full".into(), ..ConnectionFields::default() };
    form(&state, &asker, fields, None, Shown::default()).await
}

pub(crate) async fn edit(State(state): State<ApiState>, asker: Asker, Path(name): Path<String>) -> Answer {
    asker.may_on(Administration::EditConnections, &name)?;
    let (view, spec) = stored(&state, &asker, &name)?;
    form(&state, &asker, fields(&name, &spec), view.version, Shown::default()).await
}

/// One that is kept here; one of the file is not changed here.
fn stored(state: &ApiState, asker: &Asker, name: &str) -> Result<(ConnectionView, ConnectionSpec), Problem> {
    let view = api::one(state, asker, name)?;
    let spec = view.spec.clone().ok_or_else(|| crate::api::ConnectionFailure::ReadOnly(name.to_owned()))?;
    Ok((view, spec))
}

async fn form(state: &ApiState, asker: &Asker, f: ConnectionFields, version: Option<i64>, shown: Shown) -> Answer {
    let may_store = asker.may(Administration::EditSecrets).is_ok();
    let mut secrets: Vec<Inert> = match asker.may(Administration::ViewSecrets) {
        Ok(()) => state.secrets.list().await.map_err(Problem::from)?.into_iter().map(|s| Inert::from(s.name)).collect(),
        Err(_) => Vec::new(),
    };
    // The one that it has can be chosen by whoever sees no others: a form must not take a credential away unasked.
    let own = Inert::from(f.secret.clone());
    if !own.is_empty() && !secrets.contains(&own) {
        secrets.push(own);
    }
    let title = if version.is_none() { "New connection".to_owned() } else { format!("Change {}", f.name) };
    let wrong = shown.problem.as_ref().filter(|_| !shown.is_answer);
    let status = wrong.map_or(StatusCode::OK, Problem::status);
    let page = ConnectionForm {
        shell: page::shell(state, asker, Section::Connections, title).await?,
        new: version.is_none(),
        f,
        version,
        problem: shown.problem.map(|p| Inert::from(format!("{}{}", p.detail(), shown.note))),
        trial: shown.trial,
        secrets,
        may_store,
    };
    Ok(page::answer(status, &page, POLICY))
}

pub(crate) async fn create(
    State(state): State<ApiState>,
    asker: Asker,
    sent: Result<Form<Sent>, FormRejection>,
) -> Answer {
    let Form(sent) = sent.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    done(&state, &asker, sent, None).await
}

pub(crate) async fn change(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    sent: Result<Form<Sent>, FormRejection>,
) -> Answer {
    let Form(sent) = sent.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    asker.may_on(Administration::EditConnections, &name)?;
    let (view, spec) = stored(&state, &asker, &name)?;
    let version = sent.version.or(view.version);
    done(&state, &asker, Sent { name, version, ..sent }, Some(spec)).await
}

/// Tries or writes what was sent; what is wrong is said above what was typed.
async fn done(state: &ApiState, asker: &Asker, sent: Sent, before: Option<ConnectionSpec>) -> Answer {
    let (version, is_trial) = (before.is_some().then_some(sent.version).flatten(), sent.what == "test");
    let (mut fields, credential) = (sent.fields(), Some(sent.credential.trim_end_matches(['\r', '\n'])));
    let credential = credential.filter(|c| !c.is_empty()).map(|c| Secret::new(c.replace("\r\n", "\n")));
    let (was_typed, mut sealed) = (credential.is_some(), None);
    let mut shown = match sent.spec(before.unwrap_or_default()) {
        Err(problem) => Shown { problem: Some(problem), is_answer: is_trial, ..Shown::default() },
        Ok(spec) if is_trial => match api::tried(state, asker, Some(&sent.name), &spec, credential).await {
            Ok(test) => Shown { trial: Some(trial(test)), is_answer: true, ..Shown::default() },
            Err(problem) => Shown { problem: Some(problem), is_answer: is_trial, ..Shown::default() },
        },
        Ok(spec) => match saved(state, asker, &sent.name, spec, version, credential, &mut sealed).await {
            Ok(()) => return Ok(page::see_other(&format!("/connections/{}?done=saved", page::percent(&sent.name)))),
            Err(problem) => Shown { problem: Some(problem), is_answer: is_trial, ..Shown::default() },
        },
    };
    // Else what is sent next would be a connection without one.
    if let Some(secret) = sealed {
        shown.note = format!(" (The credential is kept as the secret `{secret}`, which is chosen below.)");
        fields.secret = secret;
    } else if was_typed {
        shown.note = " (Type the credential again: this page does not give it back.)".to_owned();
    }
    form(state, asker, fields, version, shown).await
}

async fn saved(
    state: &ApiState,
    asker: &Asker,
    name: &str,
    mut spec: ConnectionSpec,
    version: Option<i64>,
    credential: Option<Secret<String>>,
    sealed: &mut Option<String>,
) -> Result<(), Problem> {
    // A credential is not kept for what could not be a connection, or for who may not make one.
    let new = state.connections.check(name, &spec)?;
    asker.may_on_new(Administration::EditConnections, &new.info)?;
    if version.is_none() && state.connections.list().iter().any(|c| c.name == name) {
        return Err(crate::api::ConnectionFailure::Taken(format!("there is a connection `{name}`")).into());
    }
    if let Some(credential) = credential {
        // Of one that is changed, under a name of its own: the one before may lead elsewhere, and is not to send it there.
        let secret = version.map_or_else(|| name.to_owned(), |v| format!("{name}.{}", v.saturating_add(1)));
        let secrets = state.secrets.list().await?;
        let others = secrets.into_iter().find(|s| s.name == secret).map(|s| s.used_by).unwrap_or_default();
        if let Some(other) = others.iter().find(|user| *user != name) {
            let why = format!("connection `{other}` uses the secret `{secret}`: choose another name, or that secret");
            return Err(Problem::new(StatusCode::CONFLICT, why));
        }
        stored_as(state, asker, &secret, credential).await?;
        *sealed = Some(secret.clone());
        spec.secret = Some(secret);
    }
    let expected = version.map_or(Expected::Nothing, Expected::Version);
    api::written(state, asker, name, spec, expected).await.map(drop)
}

/// Keeps the credential of a connection, under its name.
pub(super) async fn stored_as(
    state: &ApiState,
    asker: &Asker,
    name: &str,
    credential: Secret<String>,
) -> Result<(), Problem> {
    asker.may(Administration::EditSecrets)?;
    administered(state, &asker.who, None, format!("replace secret {name}")).await?;
    let (secrets, by, name) = (state.secrets.clone(), asker.who.id(), name.to_owned());
    let task = tokio::spawn(async move { secrets.put(&name, credential, &by).await });
    task.await.map_err(|e| Problem::unavailable(&e))??;
    Ok(())
}

fn filled(text: &str) -> Option<String> {
    Some(text.trim()).filter(|t| !t.is_empty()).map(str::to_owned)
}

impl Sent {
    fn fields(&self) -> ConnectionFields {
        ConnectionFields {
            name: self.name.clone(),
            kind: self.kind.clone(),
            listen: self.listen.clone(),
            upstream: self.upstream.clone(),
            database: self.database.clone(),
            user: self.user.clone(),
            secret: self.secret.clone(),
            tls: self.tls.clone(),
            tls_ca: self.tls_ca.clone(),
            host_keys: self.host_keys.clone(),
            trust: !self.trust.is_empty(),
            impersonate: !self.impersonate.is_empty(),
            held: self.held.clone(),
            ends: !self.ends.is_empty(),
            labels: self.labels.clone(),
            tags: self.tags.clone(),
        }
    }

    /// What was sent, over what the form does not show.
    fn spec(&self, before: ConnectionSpec) -> Result<ConnectionSpec, Problem> {
        Ok(ConnectionSpec {
            kind: self.kind.clone(),
            listen: self.listen.trim().to_owned(),
            upstream: self.upstream.trim().to_owned(),
            database: filled(&self.database),
            user: filled(&self.user),
            secret: filled(&self.secret),
            tls: filled(&self.tls),
            tls_ca: filled(&self.tls_ca),
            host_keys: self.host_keys.lines().filter_map(filled).collect(),
            trust_on_first_use: !self.trust.is_empty(),
            held: filled(&self.held),
            impersonate: (!self.impersonate.is_empty()).then(|| "caller".to_owned()),
            rotation: (!self.ends.is_empty()).then(|| "end".to_owned()),
            labels: labels(&self.labels)?,
            tags: tags(&self.tags)?,
            ..before
        })
    }
}

/// Lines of `name = value`; what is wrong is named with its line.
fn pairs<'a>(text: &'a str, what: &'static str) -> impl Iterator<Item = Result<(&'a str, &'a str), Problem>> {
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim())).filter(|(_, line)| !line.is_empty());
    lines.map(move |(n, line)| {
        let pair = line.rsplit_once('=').map(|(name, value)| (name.trim(), value.trim()));
        pair.filter(|(name, value)| !name.is_empty() && !value.is_empty()).ok_or_else(|| {
            let line: String = line.chars().take(80).collect();
            Problem::new(StatusCode::BAD_REQUEST, format!("{what}, line {n}: `{line}` is not `name = value`"))
        })
    })
}

fn labels(text: &str) -> Result<BTreeMap<String, String>, Problem> {
    pairs(text, "labels").map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

fn tags(text: &str) -> Result<BTreeMap<String, BTreeSet<String>>, Problem> {
    let set = |value: &str| value.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect();
    pairs(text, "tags").map(|pair| pair.map(|(name, value)| (name.to_owned(), set(value)))).collect()
}

fn fields(name: &str, spec: &ConnectionSpec) -> ConnectionFields {
    use std::fmt::Write as _;
    let mut labels = String::new();
    for (key, value) in &spec.labels {
        let _infallible = writeln!(labels, "{key} = {value}");
    }
    let mut tags = String::new();
    for (key, of) in &spec.tags {
        let of: Vec<&str> = of.iter().map(String::as_str).collect();
        let _infallible = writeln!(tags, "{key} = {}", of.join(", "));
    }
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    ConnectionFields {
        name: name.to_owned(),
        kind: spec.kind.clone(),
        listen: spec.listen.clone(),
        upstream: spec.upstream.clone(),
        database: text(&spec.database),
        user: text(&spec.user),
        secret: text(&spec.secret),
        tls: spec.tls.clone().unwrap_or_else(|| "verify-full".to_owned()),
        tls_ca: text(&spec.tls_ca),
        host_keys: spec.host_keys.join("\n"),
        trust: spec.trust_on_first_use,
        impersonate: spec.impersonate.is_some(),
        held: text(&spec.held),
        ends: spec.rotation.as_deref() == Some("end"),
        labels,
        tags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_what_is_shown_again() {
        let sent = Sent {
            kind: "postgres".into(),
            labels: "environment = prod\r\n\r\n team=a=b ".into(),
            tags: "public.t.ssn = pii, email".into(),
            ..Sent::default()
        };
        let spec =
            sent.spec(ConnectionSpec { audit: Some("best-effort".into()), ..ConnectionSpec::default() }).unwrap();
        assert_eq!(spec.labels.get("team=a").map(String::as_str), Some("b"));
        assert_eq!(spec.tags.get("public.t.ssn").map(BTreeSet::len), Some(2));
        assert_eq!(spec.audit.as_deref(), Some("best-effort"), "what the form does not show stays");
        let shown = fields("x", &spec);
        assert_eq!(labels(&shown.labels).unwrap(), spec.labels);
        assert_eq!(tags(&shown.tags).unwrap(), spec.tags);
        let wrong = labels("a = b\nnonsense").unwrap_err();
        assert!(wrong.detail().contains("line 2"), "{}", wrong.detail());
    }
}
