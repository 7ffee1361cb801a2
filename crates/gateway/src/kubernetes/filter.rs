//! Objects on their way to the caller, one by one: left out where policy says so, masked, never a list at once.
use super::{
    cluster::Cluster,
    session::Session,
    view::{self, InRows, View},
};
use crate::{memory::Room, services::now};
use doorward_enforce::StreamPermit;
use doorward_kubernetes::{
    facts, json, object,
    split::{Form, Odd, Piece, Splitter},
    target::path_of,
    veil::{HELD_ONE, Told, Veil},
};
use doorward_model::{DataType, Operator};
use http::{HeaderMap, HeaderValue, header};
use reqwest::StatusCode;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long the labels of a namespace are taken for what they were: a list asks for them once.
const NAMESPACE: Duration = Duration::from_secs(1);
/// Namespaces that are kept.
const MOST_NAMESPACES: usize = 1024;
/// The longest labels of one that are kept, as JSON, in bytes.
const LONGEST_LABELS: usize = 16 * 1024;

/// Looks at the objects of an answer.
pub(crate) struct Filter {
    session: Arc<Session>,
    permit: Arc<StreamPermit>,
    view: View,
    splitter: Splitter,
    pieces: Vec<Piece>,
    types: Vec<(DataType, Operator)>,
    /// What stands in hidden fields of the object that the request is about: errors are not to tell it.
    told: Told,
    namespaces: HashMap<String, (Instant, Option<Value>)>,
    /// Whether the next element is the first that is written.
    first: bool,
    pub(crate) left_out: usize,
    is_empty: bool,
}

impl Filter {
    /// For an answer. `told`: what is hidden of the object that the request is about.
    pub(crate) fn new(session: &Arc<Session>, permit: &Arc<StreamPermit>, view: View, told: Told) -> Self {
        Self {
            types: session.operators(),
            session: Arc::clone(session),
            permit: Arc::clone(permit),
            splitter: Splitter::new(view.form),
            view,
            pieces: Vec::new(),
            told,
            namespaces: HashMap::new(),
            first: true,
            left_out: 0,
            is_empty: true,
        }
    }

    /// Takes bytes of the answer, and gives what may go of it.
    pub(crate) async fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.is_empty &= bytes.is_empty();
        let mut pieces = std::mem::take(&mut self.pieces);
        let odd = self.splitter.push(bytes, &mut pieces);
        self.write(&mut pieces, out).await?;
        self.pieces = pieces;
        odd.map_err(|odd| said(&odd))
    }

    /// The answer has ended.
    pub(crate) async fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        // To HEAD, or with 304, there is no body.
        if self.is_empty {
            return Ok(());
        }
        let mut pieces = Vec::new();
        self.splitter.finish(&mut pieces).map_err(|odd| said(&odd))?;
        self.write(&mut pieces, out).await
    }

    async fn write(&mut self, pieces: &mut Vec<Piece>, out: &mut Vec<u8>) -> Result<(), String> {
        for piece in pieces.drain(..) {
            match piece {
                Piece::Text(text) => {
                    self.first = true;
                    out.extend_from_slice(&text);
                }
                Piece::Member(name, value) => {
                    let _room = self.room(&value).await?;
                    out.extend_from_slice(&name);
                    out.push(b':');
                    self.member(&name, value, out)?;
                }
                Piece::Value(value) => {
                    let _room = self.room(&value).await?;
                    self.document(value, out).await?;
                }
                Piece::Item(value) => {
                    let _room = self.room(&value).await?;
                    let (mut item, twofold) = parsed(&value)?;
                    let seen = self.item(&mut item).await?;
                    self.element(seen.then(|changed| written(value, &item, changed | twofold)), out);
                }
                Piece::Row(value) => {
                    let _room = self.room(&value).await?;
                    let (mut row, _always_anew) = parsed(&value)?;
                    let seen = self.row(&mut row).await?;
                    self.element(seen.then(|changed| written(value, &row, changed)), out);
                }
            }
        }
        Ok(())
    }

    /// Room for what is made of a value.
    async fn room(&self, value: &[u8]) -> Result<Room, String> {
        self.session.endpoint.services.memory.value(value).await.map_err(|why| why.to_string())
    }

    fn element(&mut self, element: Option<Vec<u8>>, out: &mut Vec<u8>) {
        let Some(element) = element else {
            self.left_out += 1;
            return;
        };
        if !std::mem::take(&mut self.first) {
            out.push(b',');
        }
        out.extend_from_slice(&element);
    }

    /// What a list has besides its objects.
    fn member(&self, name: &[u8], value: Vec<u8>, out: &mut Vec<u8>) -> Result<(), String> {
        let (mut parsed, twofold) = parsed(&value)?;
        let is_sealed = name == b"\"metadata\"" && self.view.sight.each && self.seal(&mut parsed)?;
        let changed = twofold | is_sealed | self.veil().found(&mut parsed) | self.told.hide_in(&mut parsed);
        out.extend_from_slice(&written(value, &parsed, changed));
        Ok(())
    }

    /// What a list says of the objects that are left out: how many there are, and the name of the last one.
    fn seal(&self, metadata: &mut Value) -> Result<bool, String> {
        let Some(map) = metadata.as_object_mut() else { return Ok(false) };
        let counted = map.remove("remainingItemCount").is_some();
        let Some(token) = map.get_mut("continue").filter(|token| *token != "") else { return Ok(counted) };
        let plain = token.as_str().ok_or_else(|| said(&Odd::NoJson))?;
        let pages = &self.session.endpoint.pages;
        *token = pages.seal(plain).map_err(|_| "there is no randomness".to_owned())?.into();
        Ok(true)
    }

    /// A whole answer, or an event of a watch.
    async fn document(&mut self, value: Vec<u8>, out: &mut Vec<u8>) -> Result<(), String> {
        let (mut parsed, twofold) = parsed(&value)?;
        let seen = match parsed.get_mut("object").filter(|_| self.view.form == Form::Watch) {
            Some(object) => self.object(object).await?,
            None => self.object(&mut parsed).await?,
        };
        match seen {
            Seen::No => self.left_out += 1,
            Seen::Yes { changed } => out.extend_from_slice(&written(value, &parsed, changed | twofold)),
        }
        Ok(())
    }

    /// An object, a table, or what is neither.
    async fn object(&mut self, object: &mut Value) -> Result<Seen, String> {
        let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match (text("kind").as_str(), text("apiVersion").as_str()) {
            ("Table", version) if version.starts_with("meta.k8s.io/") => self.table(object).await,
            ("Status", "v1") => {
                let changed = self.told.hide_in(object) | self.veil().found(object);
                Ok(Seen::Yes { changed })
            }
            _ => {
                let made = self.is_made() && self.told.hide_in_made(object);
                let seen = self.item(object).await?;
                Ok(if made && seen != Seen::No { Seen::Yes { changed: true } } else { seen })
            }
        }
    }

    /// Whether the answer is not the object, but something that is made of it: a `Scale` has the fields that a custom
    /// resource's definition names.
    fn is_made(&self) -> bool {
        self.view.path.subresource.as_deref() == Some("scale")
    }

    /// Warnings can tell of an object whatever errors can.
    pub(crate) fn look_at_warnings(&self, headers: &mut HeaderMap) {
        let tells = |value: &HeaderValue| {
            let Ok(text) = value.to_str() else { return true };
            self.told.is_in(text) || self.veil().found(&mut Value::String(text.to_owned()))
        };
        let told: Vec<HeaderValue> = headers.get_all(header::WARNING).iter().cloned().collect();
        headers.remove(header::WARNING);
        for value in told {
            let instead = || HeaderValue::from_str(&format!("299 - \"{HELD_ONE}\"")).ok();
            let shown = if tells(&value) { instead() } else { Some(value) };
            headers.extend(shown.map(|value| (header::WARNING, value)));
        }
    }

    async fn table(&mut self, table: &mut Value) -> Result<Seen, String> {
        let mut changed = false;
        let rows = table.get_mut("rows").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        let (had, mut kept) = (rows.len(), Vec::with_capacity(rows.len()));
        for mut row in rows {
            if let Seen::Yes { changed: this } = self.row(&mut row).await? {
                changed |= this;
                kept.push(row);
            }
        }
        // A watch tells of each object in a table of its own.
        if had > 0 && kept.is_empty() && self.view.form == Form::Watch {
            return Ok(Seen::No);
        }
        self.left_out += had - kept.len();
        changed |= had != kept.len();
        if let Some(rows) = table.get_mut("rows") {
            *rows = kept.into();
        }
        for name in ["columnDefinitions", "metadata"] {
            changed |= table.get_mut(name).is_some_and(|value| self.veil().found(value));
        }
        Ok(Seen::Yes { changed })
    }

    /// A row: its object, and cells that were made of it.
    async fn row(&mut self, row: &mut Value) -> Result<Seen, String> {
        let mut object = row.get_mut("object").map(Value::take).unwrap_or_default();
        let namespace = self.namespace_of(&object);
        let fields = self.session.hidden_fields(&self.view.kind, namespace.as_deref());
        let is_whole = object.get("kind").is_some_and(|kind| kind != "PartialObjectMetadata");
        // INVARIANT: without its object nothing can be said of a row; whole ones were asked for.
        if !is_whole && (self.view.sight.each || !fields.is_empty()) {
            return Ok(Seen::No);
        }
        let told = Told::of(&object, &view::hidden(&fields));
        drop(fields);
        if !object.is_null() && self.item(&mut object).await? == Seen::No {
            return Ok(Seen::No);
        }
        if let Some(cells) = row.get_mut("cells") {
            self.veil().found(cells);
            told.hide_in_made(cells);
        }
        if let Some(place) = row.get_mut("object") {
            *place = self.as_asked(object);
        }
        Ok(Seen::Yes { changed: true })
    }

    /// As much of an object as the caller asked for.
    fn as_asked(&self, mut object: Value) -> Value {
        match self.view.in_rows {
            InRows::All => object,
            InRows::Nothing => Value::Null,
            InRows::Metadata => serde_json::json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object.get_mut("metadata").map(Value::take),
            }),
        }
    }

    /// Whether an object may be seen; without what is hidden.
    async fn item(&mut self, item: &mut Value) -> Result<Seen, String> {
        if self.view.sight.each && !self.is_bookmark(item) && !self.may_see(item).await? {
            return Ok(Seen::No);
        }
        let namespace = self.namespace_of(item);
        let fields = self.session.hidden_fields(&self.view.kind, namespace.as_deref());
        let changed = self.veil().object(item, &self.view.kind, &view::hidden(&fields));
        Ok(Seen::Yes { changed })
    }

    /// Bookmarks of watches are objects with nothing but a version.
    fn is_bookmark(&self, item: &Value) -> bool {
        self.view.form == Form::Watch && item.pointer("/metadata/name").is_none_or(|name| name == "")
    }

    fn namespace_of(&self, item: &Value) -> Option<String> {
        object::namespace(item).or(self.view.path.namespace.as_deref()).map(ToOwned::to_owned)
    }

    async fn may_see(&mut self, item: &Value) -> Result<bool, String> {
        let namespace = match self.namespace_of(item) {
            Some(name) => self.namespace(&name).await?,
            None => None,
        };
        let facts = facts::of_item(&self.view.target, &self.view.path, item, namespace.as_ref());
        Ok(self.session.live.enforcer.lock().allows_part(&self.permit, &facts, now()))
    }

    /// A namespace, for its labels.
    async fn namespace(&mut self, name: &str) -> Result<Option<Value>, String> {
        if let Some((_, known)) = self.namespaces.get(name).filter(|(at, _)| at.elapsed() < NAMESPACE) {
            return Ok(known.clone());
        }
        let endpoint = &self.session.endpoint;
        let room = endpoint.services.memory.namespace().await.map_err(|why| why.to_string())?;
        let found = looked_up(&endpoint.cluster, name, &room).await?;
        // Labels are short; what an API server that means ill says instead is asked for each time.
        if found.as_ref().is_none_or(|labels| labels.to_string().len() <= LONGEST_LABELS) {
            if self.namespaces.len() >= MOST_NAMESPACES {
                self.namespaces.clear();
            }
            self.namespaces.insert(name.to_owned(), (Instant::now(), found.clone()));
        }
        Ok(found)
    }

    fn veil(&self) -> Veil<'_> {
        let services = &self.session.endpoint.services;
        Veil { detector: &services.detector, masker: &services.masker, types: &self.types }
    }
}

/// What is hidden from a caller of the object that a request is about.
pub(crate) fn told(session: &Session, view: &View, object: Option<&Value>) -> Told {
    let fields = session.hidden_fields(&view.kind, view.path.namespace.as_deref());
    object.map(|object| Told::of(object, &view::hidden(&fields))).unwrap_or_default()
}

/// Whether the caller sees something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    No,
    /// And whether it is other than it was.
    Yes {
        changed: bool,
    },
}

impl Seen {
    fn then<T>(self, of: impl FnOnce(bool) -> T) -> Option<T> {
        match self {
            Self::No => None,
            Self::Yes { changed } => Some(of(changed)),
        }
    }
}

async fn looked_up(cluster: &Cluster, name: &str, room: &Room) -> Result<Option<Value>, String> {
    let failed = |why: String| format!("the namespace `{name}` could not be looked up: {why}");
    let whole = cluster.get(&path_of(["api", "v1", "namespaces", name].into_iter()), room).await;
    let whole = whole.map_err(|e| failed(e.to_string()))?;
    match whole.status {
        // Only what policies look at is kept.
        StatusCode::OK => {
            Ok(Some(serde_json::json!({ "metadata": { "labels": whole.body.pointer("/metadata/labels") } })))
        }
        StatusCode::NOT_FOUND => Ok(None),
        other => Err(failed(other.to_string())),
    }
}

fn said(odd: &Odd) -> String {
    format!("the API server's answer is not understood: {odd}")
}

/// A value of the answer; and whether it has to be written anew.
fn parsed(bytes: &[u8]) -> Result<(Value, bool), String> {
    json::read(bytes).map_err(|_| said(&Odd::NoJson))
}

/// The bytes as they came, where nothing was changed.
fn written(original: Vec<u8>, value: &Value, changed: bool) -> Vec<u8> {
    if changed { value.to_string().into_bytes() } else { original }
}
