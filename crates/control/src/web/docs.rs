//! The description of the API, made from the endpoints themselves, as pages.
use super::{
    Parts,
    page::{self, Answer},
};
use crate::{
    api::{ApiState, openapi},
    problem::Problem,
    rights::Asker,
};
use axum::{
    Extension,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use doorward_ui::{ApiDescription, DocsPage, Endpoint, Field, FieldKind, Prose, Reply, Section, Shape};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::LazyLock};

/// The description does not change while the program runs.
static DESCRIBED: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(openapi()).unwrap_or_default());
static READ: LazyLock<ApiDescription> = LazyLock::new(|| read(&DESCRIBED));

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub(crate) async fn show(State(state): State<ApiState>, asker: Asker, Extension(parts): Parts) -> Answer {
    page::ok(&DocsPage {
        shell: page::shell(&state, &asker, Section::Settings, "API").await?,
        api: &READ,
        public_url: parts.public_url.trim_end_matches('/').to_owned(),
    })
}

pub(crate) async fn download(_: Asker) -> Result<Response, Problem> {
    let text = serde_json::to_vec_pretty(&*DESCRIBED).map_err(|e| Problem::unavailable(&e))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

fn text(of: &Value, name: &str) -> String {
    of.get(name).and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

fn object<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    of.get(name).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn list<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn is_error(status: &str) -> bool {
    status.starts_with(['4', '5'])
}

fn read(api: &Value) -> ApiDescription {
    let mut groups: Vec<(String, Vec<Endpoint>)> = Vec::new();
    let mut errors: BTreeMap<String, Prose> = BTreeMap::new();
    for (path, item) in object(api, "paths") {
        for (method, endpoint) in METHODS.iter().filter_map(|m| Some((*m, item.get(*m)?))) {
            let group = list(endpoint, "tags").next().and_then(Value::as_str).unwrap_or("other");
            let failing = object(endpoint, "responses").filter(|(status, _)| is_error(status));
            errors.extend(failing.map(|(status, answer)| (status.clone(), Prose(text(answer, "description")))));
            let read = described(method, path, endpoint);
            match groups.iter_mut().find(|(name, _)| name == group) {
                Some((_, endpoints)) => endpoints.push(read),
                None => groups.push((group.to_owned(), vec![read])),
            }
        }
    }
    groups.sort_by(|(a, _), (b, _)| a.cmp(b));
    let schemas = api.get("components").unwrap_or(&Value::Null);
    ApiDescription {
        about: Prose(text(api.get("info").unwrap_or(&Value::Null), "description")),
        groups,
        errors: errors.into_iter().collect(),
        shapes: object(schemas, "schemas").map(|(name, schema)| shape(name, schema)).collect(),
    }
}

fn described(method: &str, path: &str, endpoint: &Value) -> Endpoint {
    let parameter = |p: &Value| Field {
        name: text(p, "name"),
        place: text(p, "in"),
        required: p.get("required").is_some_and(|r| r == true),
        kind: kind(p.get("schema").unwrap_or(&Value::Null)),
        about: Prose(text(p, "description")),
    };
    let whole: Vec<String> =
        ["summary", "description"].map(|part| text(endpoint, part)).into_iter().filter(|t| !t.is_empty()).collect();
    let anchor: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let body = endpoint.get("requestBody").unwrap_or(&Value::Null);
    Endpoint {
        anchor: format!("{method}{anchor}"),
        method: method.to_uppercase(),
        path: path.to_owned(),
        about: Prose(whole.join(" ")),
        open: endpoint.get("security").is_none(),
        parameters: list(endpoint, "parameters").map(parameter).collect(),
        body: object(body, "content").next().map(|(_, c)| content(c)).unwrap_or_default(),
        replies: object(endpoint, "responses").filter(|(s, _)| !is_error(s)).map(|(s, r)| reply(s, r)).collect(),
        errors: object(endpoint, "responses").filter(|(s, _)| is_error(s)).map(|(s, _)| s.clone()).collect(),
    }
}

fn content(content: &Value) -> Vec<FieldKind> {
    content.get("schema").map(kind).unwrap_or_default()
}

fn reply(status: &str, reply: &Value) -> Reply {
    let found = object(reply, "content").next();
    let header = |(name, header): (&String, &Value)| Field {
        name: name.clone(),
        place: "header".to_owned(),
        required: false,
        kind: kind(header.get("schema").unwrap_or(&Value::Null)),
        about: Prose(text(header, "description")),
    };
    Reply {
        status: status.to_owned(),
        about: Prose(text(reply, "description")),
        kind: found.map(|(_, c)| content(c)).unwrap_or_default(),
        media: found.map(|(media, _)| media.clone()).unwrap_or_default(),
        headers: object(reply, "headers").map(header).collect(),
    }
}

fn shape(name: &str, schema: &Value) -> Shape {
    let required: Vec<&str> = list(schema, "required").filter_map(Value::as_str).collect();
    let property = |(name, property): (&String, &Value)| Field {
        name: name.clone(),
        place: String::new(),
        required: required.contains(&name.as_str()),
        kind: kind(property),
        about: Prose(text(property, "description")),
    };
    let fields: Vec<Field> = object(schema, "properties").map(property).collect();
    let kind = if fields.is_empty() { kind(schema) } else { Vec::new() };
    Shape { name: name.to_owned(), about: Prose(text(schema, "description")), kind, fields }
}

/// What a value is, in words and names of shapes.
fn kind(schema: &Value) -> Vec<FieldKind> {
    let words = |text: String| vec![FieldKind::Words(text)];
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return vec![FieldKind::Shape(name.rsplit('/').next().unwrap_or(name).to_owned())];
    }
    for (several, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        let parts: Vec<Vec<FieldKind>> = list(schema, several).map(kind).collect();
        if !parts.is_empty() {
            return parts.join(&FieldKind::Words(between.to_owned()));
        }
    }
    let allowed: Vec<String> = list(schema, "enum").map(Value::to_string).collect();
    if !allowed.is_empty() {
        return words(allowed.join(", "));
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => vec!["anything"],
    };
    let mut out = Vec::new();
    for (n, name) in types.iter().enumerate() {
        if n > 0 {
            out.extend(words(" or ".to_owned()));
        }
        let inner = match *name {
            "array" => schema.get("items").map(|of| ("list of ", of)),
            "object" => {
                schema.get("additionalProperties").filter(|of| of.is_object()).map(|of| ("names, each with ", of))
            }
            _ => None,
        };
        match inner {
            Some((before, of)) => {
                out.extend(words(before.to_owned()));
                out.extend(kind(of));
            }
            None => out.extend(words((*name).to_owned())),
        }
    }
    let bounds =
        [("minimum", "at least "), ("maximum", "at most "), ("minLength", "characters from "), ("maxLength", "to ")];
    let said = bounds.iter().filter_map(|(name, before)| {
        let bound = schema.get(*name).filter(|b| *name != "minimum" || **b != 0)?;
        Some(format!("{before}{bound}"))
    });
    let said: Vec<String> = said.collect();
    if !said.is_empty() {
        out.extend(words(format!(" ({})", said.join(", "))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(schema: &Value) -> String {
        let one = |k: &FieldKind| match k {
            FieldKind::Words(words) => words.clone(),
            FieldKind::Shape(name) => format!("<{name}>"),
        };
        kind(schema).iter().map(one).collect()
    }

    #[test]
    fn kinds_are_said_in_words() {
        let list = json!({ "type": ["array", "null"], "items": { "$ref": "#/components/schemas/Key" } });
        assert_eq!(said(&list), "list of <Key> or null");
        let one = json!({ "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Key" }] });
        assert_eq!(said(&one), "null or <Key>");
        assert_eq!(said(&json!({ "type": "string", "enum": ["a", "b"] })), "\"a\", \"b\"");
        assert_eq!(said(&json!({ "type": "integer", "minimum": 1, "maximum": 9 })), "integer (at least 1, at most 9)");
        let map = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        assert_eq!(said(&map), "names, each with string");
    }

    #[test]
    fn every_endpoint_and_every_shape_that_is_named_is_on_the_page() {
        let endpoints: usize = READ.groups.iter().map(|(_, e)| e.len()).sum();
        let paths = DESCRIBED["paths"].as_object().unwrap().values();
        assert_eq!(endpoints, paths.map(|p| p.as_object().unwrap().len()).sum::<usize>());
        let mut anchors: Vec<_> = READ.groups.iter().flat_map(|(_, e)| e).map(|e| &e.anchor).collect();
        anchors.sort();
        let count = anchors.len();
        anchors.dedup();
        assert_eq!(anchors.len(), count, "an anchor leads to one endpoint");
        let fields = READ.shapes.iter().flat_map(|s| s.fields.iter().flat_map(|f| &f.kind));
        let replies = READ.groups.iter().flat_map(|(_, e)| e).flat_map(|e| e.replies.iter().flat_map(|r| &r.kind));
        for kind in fields.chain(replies) {
            if let FieldKind::Shape(name) = kind {
                assert!(READ.shapes.iter().any(|s| s.name == *name), "{name}");
            }
        }
        assert!(READ.errors.iter().any(|(status, about)| status == "412" && !about.0.is_empty()));
        assert!(READ.groups.iter().flat_map(|(_, e)| e).all(|e| !e.about.0.is_empty() && !e.replies.is_empty()));
    }
}
