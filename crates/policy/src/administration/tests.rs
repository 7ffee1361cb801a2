use super::*;
use crate::{SCHEMA, Source};
use cedar_policy::{Context, Schema};
use doorward_model::{Principal, PrincipalKind, SessionId, Timestamp};
use expect_test::expect;

fn who(kind: PrincipalKind, groups: &[&str]) -> Subject {
    Subject {
        session: SessionId::from_uuid(uuid::Uuid::nil()),
        principal: Principal {
            kind,
            issuer: "sso".into(),
            subject: "anna".into(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            tags: [].into(),
            token_id: None,
            expires_at: Timestamp::default(),
            on_behalf_of: None,
        },
        connection: ConnectionInfo {
            name: ConnectionName::new("orders"),
            kind: "postgres".into(),
            database: None,
            labels: [("environment".to_owned(), "prod".to_owned())].into(),
            tags: [].into(),
        },
        client_ip: [127, 0, 0, 1].into(),
        tls: true,
    }
}

fn engine(more: &str) -> Engine {
    let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
    Engine::load(&[source("roles", ROLES), source("more", more)]).unwrap_or_else(|e| panic!("{}", e[0]))
}

/// The roles as a table: what the shipped policies come to.
#[test]
fn roles() {
    let engine = engine("");
    let groups = ["admins", "operators", "approvers", "auditors", "nobody"];
    let mut table = format!("{:<18} {}\n", "", groups.join(" "));
    for right in Administration::ALL {
        let cells = groups.map(|g| {
            let asked =
                engine.administer(*right, &who(PrincipalKind::User, &[&format!("doorward-{g}")]), Timestamp::default());
            assert_eq!(asked.error, None);
            format!("{:<width$}", if asked.allowed { "yes" } else { "." }, width = g.len())
        });
        table.push_str(format!("{:<18} {}", right.as_str(), cells.join(" ")).trim_end());
        table.push('\n');
    }
    expect![[r#"
                           admins operators approvers auditors nobody
        view_connections   yes    yes       .         yes      .
        edit_connections   yes    yes       .         .        .
        test_connection    yes    yes       .         .        .
        view_sessions      yes    yes       yes       yes      .
        replay_session     yes    .         yes       yes      .
        kill_session       yes    yes       .         .        .
        view_approvals     yes    yes       yes       yes      .
        decide_approval    yes    yes       yes       yes      yes
        break_glass        yes    yes       yes       yes      yes
        view_audit         yes    .         .         yes      .
        export_audit       yes    .         .         yes      .
        view_policies      yes    .         .         yes      .
        edit_policies      yes    .         .         .        .
        activate_policies  yes    .         .         .        .
        view_principals    yes    yes       .         yes      .
        view_secrets       yes    yes       .         yes      .
        edit_secrets       yes    yes       .         .        .
        view_keys          yes    .         .         yes      .
        create_keys        yes    yes       yes       yes      yes
        edit_keys          yes    .         .         .        .
        view_exports       yes    yes       .         yes      .
        edit_exports       yes    .         .         .        .
        view_holds         yes    .         .         yes      .
        edit_holds         yes    .         .         .        .
        view_settings      yes    yes       .         yes      .
        view_metrics       yes    yes       .         yes      .
    "#]]
    .assert_eq(&table);
    for right in Administration::ALL {
        let agent = who(PrincipalKind::Agent, &["doorward-admins", "doorward-operators", "doorward-auditors"]);
        let allowed = engine.administer(*right, &agent, Timestamp::default()).allowed;
        assert_eq!(allowed, *right == Administration::DecideApproval, "a workload: {right}");
    }
}

#[test]
fn a_permit_has_to_name_what_it_permits_and_a_forbid_need_not() {
    let admin = who(PrincipalKind::User, &["doorward-admins", "all"]);
    let all = who(PrincipalKind::User, &["all"]);
    let allowed = |more: &str, who: &Subject, right| engine(more).administer(right, who, Timestamp::default()).allowed;
    let every = "@id(\"x\") permit (principal in Group::\"all\", action, resource);";
    let of_all = [Administration::DecideApproval, Administration::BreakGlass, Administration::CreateKeys];
    for right in Administration::ALL.iter().filter(|r| !of_all.contains(r)) {
        assert!(!allowed(every, &all, *right), "{right}");
    }
    let named = "@id(\"x\") permit (principal in Group::\"all\", action == Action::\"kill_session\", resource == Connection::\"orders\");";
    assert!(allowed(named, &all, Administration::KillSession));
    assert!(!allowed(&named.replace("orders", "other"), &all, Administration::KillSession));
    let no =
        "@id(\"x\") forbid (principal, action, resource) unless { context.client_ip.isInRange(ip(\"10.0.0.0/8\")) };";
    assert!(!allowed(no, &admin, Administration::ViewAudit));
    let label = "@id(\"x\") forbid (principal, action == Action::\"replay_session\", resource) \
                 when { resource.hasTag(\"environment\") && resource.getTag(\"environment\") == \"prod\" };";
    assert!(!allowed(label, &admin, Administration::ReplaySession));
    assert!(allowed(label, &admin, Administration::ViewSessions));
}

/// What cannot be evaluated is refused, and a right on the gateway is on no connection.
#[test]
fn errors_refuse_and_the_gateway_is_of_no_connection() {
    let admin = who(PrincipalKind::User, &["doorward-admins"]);
    let wrong = "@id(\"x\") forbid (principal, action == Action::\"view_audit\", resource) \
                 when { 9223372036854775807 + context.statements > 0 };";
    let asked = engine(wrong).administer(Administration::ViewAudit, &admin, Timestamp::default());
    assert!(!asked.allowed && asked.error.is_some());
    let orders =
        "@id(\"x\") forbid (principal, action, resource) when { resource.connection == Connection::\"orders\" };";
    assert!(engine(orders).administer(Administration::ViewAudit, &admin, Timestamp::default()).allowed);
    assert!(!engine(orders).administer(Administration::ViewSessions, &admin, Timestamp::default()).allowed);
}

#[test]
fn every_request_has_the_types_of_the_schema() {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    let whole = cedar_policy::Policy::parse(None, "permit (principal, action, resource) when { {a: context}.a.tls };");
    let reads = Reads::of(&whole.unwrap().to_json().unwrap());
    for kind in [PrincipalKind::Agent, PrincipalKind::User] {
        for right in Administration::ALL {
            let mut subject = who(kind, &["a"]);
            if right.scope() == AdministrationScope::Gateway {
                subject.connection = no_connection();
            }
            let (request, entities) = super::request(*right, &subject, reads, Timestamp::default()).unwrap();
            let all: Vec<_> = entities.iter().cloned().collect();
            Entities::from_entities(all, Some(&schema)).unwrap_or_else(|e| panic!("{right}: {e}"));
            let part = |uid: Option<&EntityUid>| uid.unwrap().clone();
            let parts = (part(request.principal()), part(request.action()), part(request.resource()));
            let context: Context = request.context().unwrap().clone();
            Request::new(parts.0, parts.1, parts.2, context, Some(&schema)).unwrap_or_else(|e| panic!("{right}: {e}"));
        }
    }
}
