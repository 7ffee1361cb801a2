//! `doorward policy explain`: what would be sent, and what results are made of, from the configuration and from a gateway.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod common;
use common::{World, doorward, mysql::MySqlWorld};
use doorward_testkit::{MySql, MySqlRelease};
use serde_json::Value;

const POLICY: &str = r#"
@id("all") permit (principal in Group::"agents", action, resource);
@id("hide") forbid (principal, action == Action::"reveal", resource is Column) when { resource.tags.contains("pii") };
@id("ends") @mask("partial:4")
forbid (principal, action == Action::"reveal", resource is Column) when { resource.tags.contains("card") };
@id("no-drop") @reason("not by agents") forbid (principal, action == Action::"drop", resource);
@id("look") permit (
  principal in Group::"keepers", action in [Action::"view_policies", Action::"test_connection"], resource
);
"#;
const MYSQL_TAGS: &str = r#"tls = "disable"
tags = { "public.customers.ssn" = ["pii"], "public.customers.card" = ["card"] }"#;
const TAGS: &str = r#"tags = { "public.customers.ssn" = ["pii"], "public.customers.card" = ["card"] }"#;

/// What the gateway says to a statement of an agent.
fn live((state, api, token): (&std::path::Path, u16, &str), database: &str, statement: &str) -> Value {
    let of = ["policy", "explain", statement, "--connection", "orders", "--group", "agents", "--live"];
    let args = [of.as_slice(), &["--database", database, "--output", "json"]].concat();
    let (ok, said) = doorward(state, api, token, &args);
    assert!(ok, "{said}");
    serde_json::from_str(&said).unwrap()
}

fn column(view: &Value, n: usize) -> (Vec<&str>, Option<&str>, Option<&str>) {
    let column = &view["columns"][n];
    assert_eq!(column["place"], n + 1);
    let made_of = column["made_of"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    (made_of, column["mask"].as_str(), column["mask_if_computed"].as_str())
}

#[test]
fn a_gateway_says_what_it_would_send_and_what_results_are_made_of() {
    let w = World::with(POLICY, TAGS);
    w.postgres
        .exec(
            "create table customers(id int primary key, name text, card text, ssn text);
             create view people as select id, upper(ssn) as s, name || card as both from customers;",
        )
        .unwrap();
    let (keeper, agent) = (w.token("kim", &["keepers"], &[]), w.token("ci-bot", &["agents"], &[]));
    let state = w.gateway.directory().join("state");
    let live = |statement: &str| live((&state, w.api, &keeper), "orders", statement);

    let view = live("select p.*, 1 as one from people p where s like '078%'");
    assert_eq!((&view["outcome"], &view["rewritten"]), (&"forward".into(), &true.into()), "{view}");
    let sent = view["sent"].as_str().unwrap();
    assert!(sent.contains("'[masked]'::text AS \"s\"") && sent.ends_with("where s like '078%'"), "{sent}");
    assert_eq!(column(&view, 0), (vec!["public.people.id"], None, None));
    assert_eq!(column(&view, 1), (vec!["public.people.s"], Some("redact"), None));
    assert_eq!(column(&view, 3), (vec![], None, None));
    assert_eq!((&view["steps"][0]["action"], &view["steps"][0]["verdict"]), (&"select".into(), &"allowed".into()));

    // Of what its mask shows something, the server makes what is shown; also where it is only shown.
    let view = live("select card from customers");
    let sent = view["sent"].as_str().unwrap();
    assert!(sent.contains("::text AS \"card\", '[masked]'::text AS \"ssn\""), "{sent}");
    let view = live("select card, card || 'x' from customers");
    let sent = view["sent"].as_str().unwrap();
    assert!(sent.contains("pg_catalog.lpad(pg_catalog.right(\"card\""), "{sent}");
    assert_eq!(column(&view, 0), (vec!["public.customers.card"], Some("partial:4"), Some("redact")));

    // What is refused says why, and has nothing to be sent: by no policy's word, by one, and where it cannot be read.
    let view = live("delete from customers where ssn = 'x'");
    assert_eq!((&view["outcome"], &view["sent"]), (&"refuse".into(), &Value::Null), "{view}");
    let why = view["refusal"]["message"].as_str().unwrap();
    assert_eq!(why, "DELETE refused: what it does depends on the masked column `public.customers.ssn`");
    let view = live("drop table customers");
    assert_eq!(view["outcome"], "refuse");
    assert!(view["steps"].as_array().unwrap().iter().any(|s| s["policies"][0]["reason"] == "not by agents"), "{view}");
    let view = live("selec 1");
    assert_eq!(view["outcome"], "refuse");
    assert!(view["refusal"]["message"].as_str().unwrap().contains("syntax error"), "{view}");

    // In text, for people; nothing was run, and not everybody may ask.
    let ask =
        ["policy", "explain", "select ssn from customers", "--connection", "orders", "--group", "agents", "--live"];
    let people = ["policy", "explain", "SELECT p.* FROM people p WHERE s LIKE '078%'"];
    println!("{}", w.doorward(&keeper, &[&people[..], &ask[3..]].concat()).1);
    let (ok, said) = w.doorward(&keeper, &ask);
    assert!(ok && said.contains("it would be sent as\n  select ssn from (SELECT \"id\""), "{said}");
    assert!(said.contains("     1  of public.customers.ssn: masked by redact\n"), "{said}");
    let (ok, said) = w.doorward(&agent, &ask);
    assert!(!ok && said.contains("view_policies"), "{said}");

    // Of the configuration alone: what is not known is said.
    let config = w.gateway.directory().join("doorward.toml");
    let mut offline = ask[..7].to_vec();
    offline.extend(["--config", config.to_str().unwrap()]);
    let (ok, said) = w.doorward("", &offline);
    assert!(
        ok && said.contains("the schema of the database is not known here") && !said.contains("be sent as"),
        "{said}"
    );
    assert!(said.contains("     1  of public.customers.ssn: masked by redact\n"), "{said}");
}

#[test]
fn a_gateway_says_the_same_of_mysql() {
    let server = MySql::options().release(MySqlRelease::DebianMariaDb).database("public").start().unwrap();
    server
        .exec(
            "use public;
             create table customers(id int primary key, name varchar(20), card varchar(20), ssn varchar(12), key by_ssn (ssn));
             create view people as select id, upper(ssn) as s from customers;",
        )
        .unwrap();
    let w = MySqlWorld::over(server, POLICY, MYSQL_TAGS);
    let keeper = w.token("kim", &["keepers"], &[]);
    let state = w.gateway.directory().join("state");
    let live = |statement: &str| live((&state, w.api, &keeper), "public", statement);

    let view = live("select s, ssn from people, customers where ssn like '078%'");
    assert_eq!((&view["outcome"], &view["rewritten"]), (&"forward".into(), &true.into()), "{view}");
    let sent = view["sent"].as_str().unwrap();
    let derived = "FROM `public`.`customers` IGNORE INDEX (`by_ssn`) IGNORE INDEX FOR ORDER BY (`by_ssn`) IGNORE INDEX FOR GROUP BY (`by_ssn`)) AS `customers`";
    assert!(sent.contains(derived), "{sent}");
    assert_eq!(column(&view, 0), (vec!["public.people.s"], Some("redact"), None));
    assert_eq!(column(&view, 1), (vec!["public.customers.ssn"], Some("redact"), None));
    let view = live("select name from customers");
    assert_eq!((&view["rewritten"], &column(&view, 0)), (&true.into(), &(vec!["public.customers.name"], None, None)));
    let view = live("update customers set name = 'x' where ssn = 'y'");
    assert_eq!(view["outcome"], "refuse");
    assert!(view["refusal"]["message"].as_str().unwrap().contains("depends on the masked column"), "{view}");
    let view = live("selec 1");
    assert_eq!(view["outcome"], "refuse", "{view}");

    let config = w.gateway.directory().join("doorward.toml");
    let said = w.doorward(
        "",
        &[
            "policy",
            "explain",
            "select `ssn` from `customers`",
            "--connection",
            "orders",
            "--database",
            "public",
            "--group",
            "agents",
            "--config",
            config.to_str().unwrap(),
        ],
    );
    assert!(said.0 && said.1.contains("1  of public.customers.ssn: masked by redact"), "{}", said.1);
}
