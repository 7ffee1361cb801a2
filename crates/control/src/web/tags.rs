//! What is called sensitive on which connection, what policies make of it, and changing it where it is kept here.
use super::page::{self, Answer};
use crate::{
    api::{ApiState, ConnectionFailure, Expected, connections as api},
    problem::Problem,
    rights::Asker,
    types::{ConnectionSource, ConnectionSpec, ConnectionView},
};
use axum::{
    Form,
    extract::{Path, Query, State, rejection::FormRejection},
    http::StatusCode,
};
use doorward_model::{Administration, DataType};
use doorward_policy::Loaded;
use doorward_ui::{Inert, Meaning, Naming, Notice, POLICY, Section, Tagged, TaggedConnection, TagsPage};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Tags that relations have for what they are, without anybody saying so.
const BUILT_IN: [&str; 3] = ["catalog", "catalog_sensitive", "temporary"];

/// What was done before the page is shown.
#[derive(Deserialize)]
pub(crate) struct Done {
    done: Option<String>,
}

/// What to show beside what there is.
#[derive(Default)]
struct Shown {
    status: StatusCode,
    notice: Option<Notice>,
    /// What was typed for a connection, and not taken.
    typed: Option<(String, Added)>,
}

pub(crate) async fn show(State(state): State<ApiState>, asker: Asker, Query(Done { done }): Query<Done>) -> Answer {
    let text = match done.as_deref() {
        Some("added") => Some("It is tagged so from now on."),
        Some("removed") => Some("The tag was removed."),
        Some(_) | None => None,
    };
    let notice = text.map(|text| Notice { bad: false, text: text.into() });
    page_of(&state, &asker, Shown { notice, ..Shown::default() }).await
}

async fn page_of(state: &ApiState, asker: &Asker, shown: Shown) -> Answer {
    asker.may_on_any(Administration::ViewConnections)?;
    let views = api::seen(state, asker);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for tag in views.iter().flat_map(|c| c.tags.values()).flatten() {
        *counts.entry(tag.clone()).or_default() += 1;
    }
    let (tags, types) = match asker.may(Administration::ViewPolicies) {
        Ok(()) => {
            let loaded = state.book.engine().loaded();
            let read = tokio::task::spawn_blocking(move || meanings(&loaded, &counts));
            let (tags, types) = read.await.map_err(|e| Problem::unavailable(&e))?;
            (Some(tags), types)
        }
        Err(_) => (None, Vec::new()),
    };
    let mut typed = shown.typed;
    let connections = views.iter().map(|c| {
        let mut one = connection(asker, c);
        let is_it = |(name, _): &mut (String, Added)| *name == c.name;
        one.typed = typed.take_if(is_it).map(|(_, sent)| (sent.object, sent.tags));
        one
    });
    let page = TagsPage {
        connections: connections.collect(),
        shell: page::shell(state, asker, Section::Tags, "Tags").await?,
        notice: shown.notice,
        tags,
        types,
        may_add: asker.may_on_any(Administration::EditConnections).is_ok(),
    };
    Ok(page::answer(shown.status, &page, POLICY))
}

/// Whether somebody may write this connection anew: its credential is sent where it leads to.
fn may_edit(asker: &Asker, c: &ConnectionView) -> bool {
    let has_secret = c.spec.as_ref().is_some_and(|s| s.secret.is_some());
    asker.sees(Administration::EditConnections, &c.name)
        && (!has_secret || asker.may(Administration::EditSecrets).is_ok())
}

fn connection(asker: &Asker, c: &ConnectionView) -> TaggedConnection {
    let sees = asker.may(Administration::ViewAudit).is_ok();
    let tagged = c.tags.iter().map(|(object, tags)| Tagged {
        object: object.clone().into(),
        tags: tags.iter().map(Inert::from).collect(),
        audit: sees.then(|| audit(&c.name, object)),
    });
    TaggedConnection {
        name: c.name.clone().into(),
        kind: c.kind.clone().into(),
        tagged: tagged.collect(),
        version: c.version.filter(|_| may_edit(asker, c)),
        stored: c.source == ConnectionSource::Store,
        example: match c.kind.as_str() {
            "kubernetes" => "customers.example.com:$.spec.ssn",
            "mysql" => "shop.customers.ssn",
            _ => "public.customers.ssn",
        },
        typed: None,
    }
}

/// Where the requests are that mention an object: entries have the parts of a name one by one.
fn audit(connection: &str, object: &str) -> String {
    let name = match object.split_once(':') {
        Some((_, path)) => path,
        None => object.rsplit('.').find(|part| !part.is_empty() && *part != "*").unwrap_or(object),
    };
    format!("/audit?event=request&connection={}&text={}", page::percent(connection), page::percent(name))
}

/// What policies make of the tags that are used (with how often) or named, and of the kinds of values.
fn meanings(loaded: &Arc<Loaded>, counts: &BTreeMap<String, usize>) -> (Vec<Meaning>, Vec<Meaning>) {
    let naming: Vec<_> = loaded.naming().collect();
    let shown = |n: &&doorward_policy::Naming<'_>| Naming {
        id: n.info.id.clone().into(),
        forbids: n.forbids,
        reason: n.info.reason.clone().map(Inert::from),
        mask: n.info.mask.as_ref().map(ToString::to_string),
    };
    let named = naming.iter().flat_map(|n| &n.named.tags);
    let tags: BTreeSet<&String> = counts.keys().chain(named).collect();
    let tags = tags.into_iter().map(|tag| Meaning {
        name: tag.clone().into(),
        built_in: BUILT_IN.contains(&tag.as_str()),
        count: counts.get(tag).copied().unwrap_or_default(),
        policies: naming.iter().filter(|n| n.named.tags.contains(tag) || n.named.any_tags).map(|n| shown(&n)).collect(),
    });
    let types = DataType::ALL.iter().map(|kind| Meaning {
        name: kind.as_str().into(),
        built_in: true,
        count: 0,
        policies: naming
            .iter()
            .filter(|n| n.named.data_types.contains(kind.as_str()) || n.named.any_data_type)
            .map(|n| shown(&n))
            .collect(),
    });
    (tags.collect(), types.collect())
}

/// Tags that somebody adds to something.
#[derive(Deserialize)]
pub(crate) struct Added {
    version: i64,
    object: String,
    tags: String,
}

/// A tag that somebody takes away from something.
#[derive(Deserialize)]
pub(crate) struct Removed {
    version: i64,
    object: String,
    tag: String,
}

pub(crate) async fn add(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    sent: Result<Form<Added>, FormRejection>,
) -> Answer {
    let Form(sent) = sent.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let object = sent.object.trim().to_owned();
    let tags: BTreeSet<String> =
        sent.tags.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect();
    let done = if object.is_empty() || tags.is_empty() {
        Err(Problem::new(StatusCode::BAD_REQUEST, "say what is sensitive, and at least one tag for it"))
    } else {
        changed(&state, &asker, &name, sent.version, |spec| {
            spec.tags.entry(object).or_default().extend(tags);
            Ok(())
        })
        .await
    };
    finish(&state, &asker, done, "added", Some((name, sent))).await
}

pub(crate) async fn remove(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    sent: Result<Form<Removed>, FormRejection>,
) -> Answer {
    let Form(Removed { version, object, tag }) = sent.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let done = changed(&state, &asker, &name, version, |spec| {
        let none = || Problem::new(StatusCode::CONFLICT, format!("`{object}` has no tag `{tag}`"));
        let of = spec.tags.get_mut(&object).ok_or_else(none)?;
        if !of.remove(&tag) {
            return Err(none());
        }
        if of.is_empty() {
            spec.tags.remove(&object);
        }
        Ok(())
    })
    .await;
    finish(&state, &asker, done, "removed", None).await
}

/// Writes a connection with other tags, as the API does, if it is in the version that the person has seen.
async fn changed(
    state: &ApiState,
    asker: &Asker,
    name: &str,
    version: i64,
    change: impl FnOnce(&mut ConnectionSpec) -> Result<(), Problem>,
) -> Result<(), Problem> {
    asker.may_on(Administration::EditConnections, name)?;
    let view = api::one(state, asker, name)?;
    let mut spec = view.spec.ok_or_else(|| ConnectionFailure::ReadOnly(name.to_owned()))?;
    if view.version != Some(version) {
        return Err(ConnectionFailure::Changed(name.to_owned()).into());
    }
    change(&mut spec)?;
    api::written(state, asker, name, spec, Expected::Version(version)).await.map(drop)
}

async fn finish(
    state: &ApiState,
    asker: &Asker,
    done: Result<(), Problem>,
    word: &str,
    typed: Option<(String, Added)>,
) -> Answer {
    match done {
        Ok(()) => Ok(page::see_other(&format!("/tags?done={word}"))),
        Err(problem) if matches!(problem.status(), StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) => {
            Err(problem.into())
        }
        Err(problem) => {
            let text = format!("Nothing was changed: {}.", problem.detail());
            let notice = Some(Notice { bad: true, text });
            page_of(state, asker, Shown { status: problem.status(), notice, typed }).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_what_entries_have() {
        assert_eq!(audit("a b", "public.customers.ssn"), "/audit?event=request&connection=a%20b&text=ssn");
        assert_eq!(audit("c", "public.customers.*"), "/audit?event=request&connection=c&text=customers");
        assert!(audit("k", "customers.example.com:$.spec.ssn").ends_with("text=%24.spec.ssn"));
    }
}
