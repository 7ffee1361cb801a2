//! What is wrong with policies is said, with its place; a bad set never replaces a good one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests"
)]
use doorward_enforce::DecisionPoint as _;
use doorward_model::Operator;
use doorward_policy::{Engine, LoadError, Source, load};
use std::time::Duration;

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.into() }
}

fn errors(text: &str) -> Vec<LoadError> {
    load(&[source("p.cedar", text)]).unwrap_err()
}

fn warnings(text: &str) -> Vec<String> {
    load(&[source("p.cedar", text)]).unwrap().warnings().iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(text: &str, at: (usize, usize), part: &str) {
    let errors = errors(text);
    assert!(errors[0].message.contains(part), "{}", errors[0]);
    assert_eq!(errors[0].at, Some(at), "{}", errors[0]);
    assert_eq!(errors.len(), 1, "{errors:#?}");
}

#[test]
fn errors_name_the_place() {
    check("\n  permit (principal, action, resource);", (2, 3), "no @id");
    check("@id(\"\") permit (principal, action, resource);", (1, 1), "no @id");
    check("@id(\"a\")\npermit (principal, action, resorce);", (2, 28), "");
    check("@id(\"a\") permit (principal, action, resource) when { resource.nam == \"x\" };", (1, 54), "nam");
    check("// é\n@id(\"a\") permit (principal, action == Action::\"selekt\", resource);", (2, 39), "selekt");
    check("@id(\"a\") permit (principal, action, resource)", (1, 46), "");
    check("@id(\"a\") permit (principal, action, resource == ?resource);", (1, 49), "template");
}

#[test]
fn a_message_shows_the_line() {
    let e = &errors("@id(\"a\")\n  forbid (principal, action, resource) when { context.aproved };")[0];
    let text = e.to_string();
    assert!(text.starts_with("p.cedar:2:47: policy `a`: "), "{text}");
    assert!(text.contains("\n2 |   forbid (principal, action, resource) when { context.aproved };\n"), "{text}");
    assert!(text.ends_with(&format!("\n  | {}^", " ".repeat(46))), "{text}");
    assert!(text.contains("did you mean `approved`?") || text.contains("approved"), "{text}");
}

#[test]
fn identifiers_are_unique_over_all_files() {
    let a = source("a.cedar", "\n@id(\"x\") permit (principal, action, resource);");
    let b = source("b.cedar", "@id(\"x\") forbid (principal, action, resource);");
    let e = load(&[a, b]).unwrap_err();
    assert_eq!(e[0].message, "the @id `x` is used twice; the first is at a.cedar:2");
    assert_eq!((e[0].file.as_str(), e[0].at), ("b.cedar", Some((1, 1))));
}

#[test]
fn every_problem_is_told_at_once() {
    let e = errors(
        "permit (principal, action, resource);\n@id(\"b\") @approver(\"x\") permit (principal, action, resource);\n@id(\"c\") pormit (principal, action, resource);",
    );
    assert_eq!(e.iter().map(|e| e.at.unwrap().0).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn annotations_are_checked() {
    let with = |annotations: &str, rest: &str| {
        format!("@id(\"a\") {annotations} forbid (principal, action, resource) {rest};")
    };
    let approved = "unless { context.approved }";
    for (annotations, rest, part) in [
        ("@approver(\"dba\")", approved, "unknown annotation `@approver`"),
        ("", approved, "no @approvers annotation"),
        ("", "unless { context.approver_groups.contains(\"dba\") }", "no @approvers annotation"),
        ("@approvers(\"\")", approved, "must name groups"),
        ("@approvers(\"a,,b\")", approved, "must name groups"),
        ("@approvers(\"a\") @quorum(\"0\")", approved, "@quorum(\"0\")"),
        ("@approvers(\"a\") @quorum(\"two\")", approved, "@quorum(\"two\")"),
        ("@approvers(\"a\") @expires(\"soon\")", approved, "@expires(\"soon\")"),
        ("@mask(\"blur\")", "", "@mask"),
        ("@reason(\" \")", "", "@reason is empty"),
    ] {
        let e = errors(&with(annotations, rest));
        assert!(e[0].message.contains(part), "{}", e[0]);
        assert_eq!(e[0].at, Some((1, 1)));
    }
    let e = errors("@id(\"a\") @mask(\"null\") permit (principal, action, resource);");
    assert!(e[0].message.contains("@mask belongs on a forbid"), "{}", e[0]);
}

#[test]
fn annotations_are_understood() {
    let text = "@id(\"a\") @reason(\"why\") @approvers(\" dba, sre\") @quorum(\"2\") @expires(\"2h\")
        forbid (principal, action, resource) unless { context.approved };
        @id(\"b\") @mask(\"partial:2\") forbid (principal, action == Action::\"reveal\", resource);";
    let loaded = load(&[source("p", text)]).unwrap();
    let all: Vec<_> = loaded.policies().collect();
    assert_eq!((all[0].id.as_str(), all[0].reason.as_deref()), ("a", Some("why")));
    assert_eq!((all[0].approvers.join("|").as_str(), all[0].quorum), ("dba|sre", 2));
    assert_eq!(all[0].expires, Duration::from_secs(7200));
    assert_eq!(all[1].expires, Duration::from_secs(900), "a quarter of an hour where nothing is said");
    assert_eq!(all[1].mask, Some(Operator::Partial(2)));
}

#[test]
fn what_looks_wrong_is_a_warning() {
    let idle = warnings("@id(\"a\") @approvers(\"dba\") permit (principal, action, resource);");
    assert!(idle[0].contains("@approvers has no effect"), "{idle:?}");
    let mask = warnings("@id(\"a\") @mask(\"null\") forbid (principal, action == Action::\"select\", resource);");
    assert!(mask[0].contains("@mask has no effect"), "{mask:?}");
    assert!(warnings("@id(\"a\") permit (principal, action == Action::\"select\", resource);").is_empty());
    assert!(load(&[]).unwrap().warnings()[0].message.contains("everything is denied"));
    assert!(warnings("// nothing\n")[0].contains("everything is denied"));
}

#[test]
fn a_bad_set_leaves_the_old_one_in_force() {
    let engine = Engine::load(&[source("a", "@id(\"a\") permit (principal, action, resource);")]).unwrap();
    let (generation, version) = (engine.generation(), engine.loaded().version.clone());
    assert!(engine.reload(&[source("a", "@id(\"a\") permit (principal, action);")]).is_err());
    assert_eq!((engine.generation(), engine.loaded().version.clone()), (generation, version.clone()));
    engine.reload(&[source("a", "@id(\"b\") permit (principal, action, resource);")]).unwrap();
    assert_eq!(engine.generation(), generation + 1);
    assert_ne!(engine.loaded().version, version, "another text has another version");
    assert_eq!(version.len(), 12);
}

#[test]
fn deep_policies_neither_load_nor_decide_into_the_end_of_a_stack() {
    // The longest chains that the limits allow, loaded and dropped on a thread with little stack.
    let chain = |part: &str, end: &str| {
        let n = (32 * 1024 - 200) / part.len();
        format!("@id(\"a\") permit (principal, action, resource) when {{ {}{end} }};", part.repeat(n))
    };
    let texts = [
        chain("true && ", "true"),
        chain("if true then true else ", "true"),
        chain("1 + ", "1 == 2"),
        chain("principal.id like \"x\" || ", "true"),
        format!(
            "@id(\"a\") permit (principal, action, resource) when {{ resource{}.name == \"x\" }};",
            ".connection".repeat(2900)
        ),
        format!("@id(\"a\") permit (principal, action, resource) when {{ {}true{} }};", "(".repeat(60), ")".repeat(60)),
    ];
    for text in texts {
        std::thread::Builder::new()
            .stack_size(2 * 1024 * 1024)
            .spawn(move || match Engine::load(&[source("deep", &text)]) {
                Ok(engine) => decide_once(&engine),
                Err(e) => assert!(!e.is_empty()),
            })
            .unwrap()
            .join()
            .unwrap();
    }
}

fn decide_once(engine: &Engine) {
    use doorward_enforce::{Circumstances, Party, Subject};
    use doorward_model::*;
    let subject = std::sync::Arc::new(Subject {
        session: SessionId::from_uuid(uuid::Uuid::nil()),
        principal: Principal {
            kind: PrincipalKind::Agent,
            issuer: "ci".into(),
            subject: "bot".into(),
            groups: Default::default(),
            tags: Default::default(),
            token_id: None,
            expires_at: Timestamp::default(),
            on_behalf_of: None,
        },
        connection: ConnectionInfo {
            name: ConnectionName::new("orders"),
            kind: "postgres".into(),
            database: None,
            labels: Default::default(),
            tags: Default::default(),
        },
        client_ip: [127, 0, 0, 1].into(),
        tls: true,
    });
    let command: Name = "SELECT".into();
    let c =
        Circumstances { now: Timestamp::default(), command: &command, statements: 1, approved: false, approvers: &[] };
    let access = Access::new(Action::Connect, Resource::Connection);
    let verdict = engine.open(&subject, Party::Caller).decide(&access, &c);
    assert!(!verdict.allowed || verdict.error.is_none());
}
