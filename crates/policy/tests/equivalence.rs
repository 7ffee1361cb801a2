//! A decision over a slice is the decision of plain Cedar over the whole set, with entities and context
//! made another way and checked against the schema.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests"
)]
use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, Policy, PolicyId, PolicySet, Request, Schema};
use doorward_enforce::{Approver, Circumstances, DecisionPoint as _, Party, Subject};
use doorward_model::{
    Access, Action, ConnectionInfo, ConnectionName, DataType, Name, Principal, PrincipalKind, Resource, SessionId,
    Timestamp,
};
use doorward_policy::{Engine, SCHEMA, Source, load};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashSet},
    str::FromStr as _,
    sync::{Arc, LazyLock},
};

const PRINCIPALS: [&str; 9] = [
    "principal",
    "principal is Agent",
    "principal is User",
    "principal == Agent::\"ci/bot\"",
    "principal == User::\"ci/bot\"",
    "principal in Group::\"agents\"",
    "principal in Group::\"ci/agents\"",
    "principal in Group::\"other/agents\"",
    "principal is Agent in Group::\"dba\"",
];
const ACTIONS: [&str; 6] = [
    "action",
    "action == Action::\"select\"",
    "action in [Action::\"select\", Action::\"reveal\", Action::\"delete\"]",
    "action == Action::\"reveal\"",
    "action == Action::\"connect\"",
    "action in [Action::\"drop\", Action::\"set\"]",
];
const RESOURCES: [&str; 15] = [
    "resource",
    "resource is Table",
    "resource is Column",
    "resource in Connection::\"orders\"",
    "resource == Connection::\"orders\"",
    "resource in Connection::\"other\"",
    "resource in Connection::\"orders/public.customers\"",
    "resource is Table in Connection::\"orders\"",
    "resource in Schema::\"orders/public\"",
    "resource in Database::\"orders/shop\"",
    "resource == Table::\"orders/public.customers\"",
    "resource in Table::\"orders/public.customers\"",
    "resource == Column::\"orders/public.customers.email\"",
    "resource == DataType::\"email\"",
    "resource is DataType in Connection::\"orders\"",
];
const CONDITIONS: [&str; 15] = [
    "",
    "when { resource is Table && resource.tags.contains(\"pii\") }",
    "unless { resource is Column && resource.tags.contains(\"pii\") }",
    "unless { context.approved }",
    "unless { context.has_where }",
    "when { context.as_root }",
    "when { context.hour >= 8 && context.weekday < 6 }",
    "when { context.statements * 9223372036854775807 > 0 }",
    "when { resource.connection.hasTag(\"environment\") && resource.connection.getTag(\"environment\") == \"prod\" }",
    "when { principal.hasTag(\"ref\") && principal.getTag(\"ref\") like \"refs/heads/*\" }",
    "when { context.client_ip.isInRange(ip(\"10.0.0.0/8\")) && context.tls }",
    "when { context.approver_groups.contains(\"dba\") }",
    "when { context.command == \"SELECT\" && context.now < datetime(\"2026-06-01\") }",
    "when { resource is Table && !resource.system && resource.name like \"c*\" }",
    "when { principal in Group::\"dba\" || principal.issuer == \"ci\" }",
];

/// Every combination that passes the checks, by its text.
static POOL: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for (n, effect) in ["permit", "forbid"].into_iter().enumerate() {
        for (p, principal) in PRINCIPALS.into_iter().enumerate() {
            for (a, action) in ACTIONS.into_iter().enumerate() {
                for (r, resource) in RESOURCES.into_iter().enumerate() {
                    for (c, condition) in CONDITIONS.into_iter().enumerate() {
                        // One in thirteen, spread over all: checking them is what takes the time.
                        if (n + 2 * p + 3 * a + 5 * r + 7 * c) % 13 != 0 {
                            continue;
                        }
                        let id = format!("{n}-{p}-{a}-{r}-{c}");
                        all.push(format!(
                            "@id(\"{id}\") @approvers(\"dba\") {effect} ({principal}, {action}, {resource}) {condition};"
                        ));
                    }
                }
            }
        }
    }
    let Err(errors) = load(&[Source { name: "pool".into(), text: all.join("\n") }]) else { return all };
    let bad: HashSet<usize> = errors.iter().map(|e| e.at.unwrap().0 - 1).collect();
    all.into_iter().enumerate().filter(|(n, _)| !bad.contains(n)).map(|(_, t)| t).collect()
});

static CEDAR: LazyLock<Schema> = LazyLock::new(|| Schema::from_cedarschema_str(SCHEMA).unwrap().0);

fn resources() -> Vec<Resource> {
    let table = |schema: &str, name: &str| Resource::Table { schema: schema.into(), name: name.into() };
    let column =
        |table: &str, name: &str| Resource::Column { schema: "public".into(), table: table.into(), name: name.into() };
    vec![
        Resource::Connection,
        table("public", "customers"),
        table("public", "orders"),
        table("Odd.Schema", "c\"d"),
        table("pg_catalog", "pg_authid"),
        column("customers", "email"),
        column("customers", "id"),
        Resource::DataType { data_type: DataType::Email },
        Resource::Database { name: "shop".into() },
        Resource::Setting { name: "search_path".into() },
    ]
}

/// The pairs that the schema knows.
fn accesses() -> Vec<Access> {
    let mut out = Vec::new();
    for resource in resources() {
        let actions: &[Action] = match resource {
            Resource::Connection => &[Action::Connect, Action::Drop],
            Resource::Table { .. } => &[Action::Select, Action::Delete, Action::Drop],
            Resource::Column { .. } => &[Action::Reveal, Action::Drop],
            Resource::DataType { .. } => &[Action::Reveal],
            Resource::Database { .. } => &[Action::Drop],
            _ => &[Action::Set, Action::Drop],
        };
        out.extend(actions.iter().map(|a| Access::new(*a, resource.clone())));
    }
    out
}

fn subject(user: bool, groups: BTreeSet<String>, prod: bool, ip: &str) -> Arc<Subject> {
    let tags = [("public.customers.email", "pii"), ("public.orders", "bulk")];
    let labels = prod.then(|| ("environment".to_owned(), "prod".to_owned()));
    Arc::new(Subject {
        session: SessionId::from_uuid(uuid::Uuid::nil()),
        principal: Principal {
            kind: if user { PrincipalKind::User } else { PrincipalKind::Agent },
            issuer: "ci".into(),
            subject: "bot".into(),
            groups,
            tags: [("ref".to_owned(), "refs/heads/main".to_owned())].into(),
            token_id: None,
            expires_at: Timestamp::from_micros(u64::MAX),
            on_behalf_of: None,
        },
        connection: ConnectionInfo {
            name: ConnectionName::new("orders"),
            kind: "postgres".into(),
            database: Some("shop".into()),
            labels: labels.into_iter().collect(),
            tags: tags.map(|(k, v)| (k.to_owned(), BTreeSet::from([v.to_owned()]))).into(),
        },
        client_ip: ip.parse().unwrap(),
        tls: true,
    })
}

fn named(kind: &str, id: &str) -> Value {
    json!({ "type": kind, "id": id })
}

/// The entities of the request, each with its direct parents only, checked against the schema.
fn entities(s: &Subject, resource: &Resource) -> Entities {
    let connection = named("Connection", "orders");
    let p = &s.principal;
    let who = named(if p.kind == PrincipalKind::User { "User" } else { "Agent" }, "ci/bot");
    // By name, and by issuer and name; a name with a slash only with its issuer.
    let mut groups: Vec<Value> = p.groups.iter().map(|g| named("Group", &format!("ci/{g}"))).collect();
    groups.extend(p.groups.iter().filter(|g| !g.contains('/')).map(|g| named("Group", g)));
    let mut all: Vec<Value> = groups.iter().map(|g| json!({ "uid": g, "attrs": {}, "parents": [] })).collect();
    all.push(json!({ "uid": who, "parents": groups, "tags": p.tags,
        "attrs": { "id": "ci/bot", "issuer": "ci", "subject": "bot" } }));
    all.push(json!({ "uid": connection, "parents": [], "tags": s.connection.labels,
        "attrs": { "connection": connection, "name": "orders", "kind": "postgres" } }));
    let database = named("Database", "orders/shop");
    all.push(json!({ "uid": database, "parents": [connection],
        "attrs": { "connection": connection, "name": "shop" } }));
    let schema =
        |name: &Name| named("Schema", &format!("orders/{}", Resource::Schema { name: name.clone() }.local_id()));
    let uid = named(resource.entity_type(), &format!("orders/{}", resource.local_id()));
    let mut relation = |of: &Name, name: &Name, tags: Vec<&str>| {
        all.push(json!({ "uid": schema(of), "parents": [database],
            "attrs": { "connection": connection, "name": &**of } }));
        let table = Resource::Table { schema: of.clone(), name: name.clone() };
        let uid = named("Table", &format!("orders/{}", table.local_id()));
        all.push(json!({ "uid": uid, "parents": [schema(of)], "attrs": { "connection": connection,
            "schema": &**of, "name": &**name, "tags": tags, "system": &**of == "pg_catalog" } }));
        uid
    };
    match resource {
        Resource::Table { schema, name } => {
            relation(
                schema,
                name,
                match &**name {
                    "customers" => vec!["pii"],
                    "orders" => vec!["bulk"],
                    "pg_authid" => vec!["catalog_sensitive"],
                    _ => vec![],
                },
            );
        }
        Resource::Column { schema, table, name } => {
            let parent = relation(schema, table, vec!["pii"]);
            let tags = if &**name == "email" { vec!["pii"] } else { vec![] };
            all.push(json!({ "uid": uid, "parents": [parent], "attrs": { "connection": connection,
                "schema": &**schema, "table": &**table, "name": &**name, "tags": tags } }));
        }
        Resource::DataType { .. } => all.push(json!({ "uid": named("DataType", "email"), "parents": [connection],
            "attrs": { "connection": connection, "name": "email" } })),
        Resource::Setting { name } => all.push(json!({ "uid": uid, "parents": [connection],
            "attrs": { "connection": connection, "name": &**name } })),
        _ => {}
    }
    Entities::from_json_value(Value::Array(all), Some(&CEDAR)).unwrap()
}

/// Allowed, the deciding policies, whether any policy failed: by plain Cedar over all of them.
fn plain(texts: &[&String], s: &Subject, access: &Access, c: &Circumstances<'_>) -> (bool, BTreeSet<String>, bool) {
    let policies = texts.iter().map(|text| {
        let policy = Policy::parse(None, text.as_str()).unwrap();
        let id = PolicyId::new(policy.annotation("id").unwrap());
        policy.new_id(id)
    });
    let set = PolicySet::from_policies(policies).unwrap();
    // 2 March 2026 is a Monday.
    let monday = c.now == MONDAY;
    let context = json!({
        "approved": c.approved,
        "approvers": c.approvers.iter().map(|a| &a.id).collect::<Vec<_>>(),
        "approver_groups": c.approvers.iter().flat_map(|a| &a.groups).collect::<Vec<_>>(),
        "has_where": access.has_where,
        "as_root": access.as_root,
        "command": &**c.command,
        "statements": c.statements,
        "client_ip": { "__extn": { "fn": "ip", "arg": s.client_ip.to_string() } },
        "tls": s.tls,
        "now": { "__extn": { "fn": "datetime", "arg": if monday { "2026-03-02T10:05:00Z" } else { "2026-08-01T23:59:59Z" } } },
        "hour": if monday { 10 } else { 23 },
        "minute": if monday { 5 } else { 59 },
        "weekday": if monday { 1 } else { 6 },
    });
    let entity = |v: Value| EntityUid::from_json(v).unwrap();
    let action = EntityUid::from_str(&format!("Action::\"{}\"", access.action)).unwrap();
    let who = entity(named(if s.principal.kind == PrincipalKind::User { "User" } else { "Agent" }, "ci/bot"));
    let resource = entity(match &access.resource {
        Resource::Connection => named("Connection", "orders"),
        Resource::DataType { .. } => named("DataType", "email"),
        other => named(other.entity_type(), &format!("orders/{}", other.local_id())),
    });
    let context = Context::from_json_value(context, Some((&CEDAR, &action))).unwrap();
    let request = Request::new(who, action, resource, context, Some(&CEDAR)).unwrap();
    let response = Authorizer::new().is_authorized(&request, &set, &entities(s, &access.resource));
    let reasons = response.diagnostics().reason().map(ToString::to_string).collect();
    (response.decision() == Decision::Allow, reasons, response.diagnostics().errors().next().is_some())
}

const MONDAY: Timestamp = Timestamp::from_secs(1_772_445_900);
const SATURDAY_NIGHT: Timestamp = Timestamp::from_secs(1_785_628_799);

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_slice_decides_as_the_whole(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        groups in prop::sample::subsequence(vec!["agents", "dba", "other/agents", "analysts"], 0..4),
        (user, prod, approved, with_approver, has_where, monday) in any::<(bool, bool, bool, bool, bool, bool)>(),
        ip in prop::sample::select(vec!["10.1.2.3", "192.0.2.1", "2001:db8::1"]),
        command in prop::sample::select(vec!["SELECT", "DELETE"]),
        statements in 0_u32..3,
    ) {
        let pool = &*POOL;
        let chosen: BTreeSet<&String> = picks.iter().map(|i| &pool[i.index(pool.len())]).collect();
        let texts: Vec<&String> = chosen.into_iter().collect();
        let text = texts.iter().map(|t| t.as_str()).collect::<Vec<_>>().join("\n");
        let engine = Engine::load(&[Source { name: "chosen".into(), text }]).unwrap();
        let s = subject(user, groups.iter().map(|g| (*g).to_owned()).collect(), prod, ip);
        let mut session = engine.open(&s, Party::Caller);
        let approver = [Approver::new("ci/anna", vec!["dba".into()])];
        let command: Name = command.into();
        let now = if monday { MONDAY } else { SATURDAY_NIGHT };
        let approvers: &[Approver] = if with_approver { &approver } else { &[] };
        let c = Circumstances { now, command: &command, statements, approved, approvers };
        for mut access in accesses() {
            access.has_where = has_where && access.action == Action::Delete;
            let (allowed, reasons, erred) = plain(&texts, &s, &access, &c);
            let got = session.decide(&access, &c);
            prop_assert_eq!(got.error.is_some(), erred, "{}: {:?}", &access, got.error);
            prop_assert_eq!(got.allowed, allowed && !erred, "{}", &access);
            let named: BTreeSet<String> = got.policies.iter().map(|p| p.id.clone()).collect();
            prop_assert_eq!(named, reasons, "{}", &access);
        }
    }
}

#[test]
fn the_pool_is_worth_it() {
    assert!(POOL.len() > 300, "{}", POOL.len());
    for part in CONDITIONS.iter().chain(&RESOURCES).chain(&PRINCIPALS).chain(&ACTIONS) {
        assert!(POOL.iter().any(|p| p.contains(part)), "no valid policy has `{part}`");
    }
}
