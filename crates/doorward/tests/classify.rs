//! `doorward connections classify`: tags are proposed for what columns seem to hold, and stored; no value gets out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod common;
use common::{World, mysql::MySqlWorld};
use doorward_testkit::{MySql, MySqlRelease, free_port};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};

const POLICY: &str = r#"
@id("all") permit (principal in Group::"agents", action, resource);
@id("hide") forbid (principal in Group::"agents", action == Action::"reveal", resource is Column)
when { resource.tags.contains("pii") };
@id("keep") permit (
  principal in Group::"keepers",
  action in [Action::"view_connections", Action::"edit_connections", Action::"edit_secrets"], resource
);
"#;
/// What is in the tables and may be nowhere else.
const VALUES: [&str; 5] = ["ada1@example.com", "4111111111111111", "DE89370400440532013000", "078-05-1120", "wander"];
const ROWS: &str = "
insert into people values (1, 'ada1@example.com', '4111111111111111', 'wander', 'DE89370400440532013000', '078-05-1120', null);
insert into people values (2, 'ada2@example.com', '4111111111111111', 'ada1@example.com', 'DE89370400440532013000', null, null);
";

fn columns(view: &Value) -> BTreeMap<&str, &Value> {
    view["columns"].as_array().unwrap().iter().map(|c| (c["column"].as_str().unwrap(), c)).collect()
}

fn nowhere(state: &Path, said: &str) {
    let log = std::fs::read_to_string(state.join("../doorward.log")).unwrap();
    for value in VALUES {
        assert!(!said.contains(value), "{value} in {said}");
        assert!(!log.contains(value), "{value} in the log");
    }
}

#[test]
fn columns_of_postgres_are_classified_and_tagged() {
    let w = World::with(POLICY, "tags = {}");
    w.postgres
        .exec(&format!(
            "set role {};
             create table people(id int primary key, contact text, pay numeric, note text, acct varchar(40), code text, birthday date);
             {ROWS}
             create table plain(id int primary key, what text); insert into plain select g, 'thing '||g from generate_series(1, 300) g;
             create table parts(id int, mail text) partition by range (id);
             create table parts_1 partition of parts for values from (0) to (10);
             create view shown as select contact from people;
             reset role; create table locked(email text); insert into locked values ('ada1@example.com');
             revoke all on locked from public;
             comment on column people.acct is 'doorward: iban';",
            w.postgres.user()
        ))
        .unwrap();
    let (keeper, agent) = (w.token("kim", &["keepers"], &[]), w.token("ci-bot", &["agents"], &[]));
    let ask = ["connections", "classify", "orders", "--sample", "100", "--output", "json"];
    let (ok, said) = w.doorward(&keeper, &ask);
    assert!(ok, "{said}");
    nowhere(&w.state(), &said);
    let view: Value = serde_json::from_str(&said).unwrap();
    let found = columns(&view);
    let of = |column: &str, key: &str| found[column][key].clone();
    assert_eq!(of("public.people.contact", "found"), json!({ "email": 2 }));
    assert_eq!(of("public.people.contact", "sampled"), 2);
    assert_eq!(of("public.people.contact", "proposed"), json!(["email", "pii"]));
    assert_eq!(of("public.people.pay", "proposed"), json!(["credit_card", "pii"]));
    assert_eq!(of("public.people.note", "found"), json!({ "email": 1 }));
    assert_eq!(
        (of("public.people.acct", "tags"), of("public.people.acct", "proposed")),
        (json!(["iban"]), json!(["pii"]))
    );
    assert_eq!(of("public.people.code", "proposed"), json!(["pii", "us_ssn"]));
    assert_eq!(
        (of("public.people.birthday", "named"), of("public.people.birthday", "sampled")),
        (json!("birth_date"), json!(0))
    );
    for column in ["public.plain.what", "public.parts_1.mail", "public.shown.contact"] {
        assert!(!found.contains_key(column), "{column}: {said}");
    }
    // By its name alone, and why no row was seen; the server's words are not told.
    assert_eq!(of("public.locked.email", "proposed"), json!(["email", "pii"]));
    assert_eq!(view["left_out"], json!([{ "table": "public.locked", "why": "the server refused it (42501)" }]));
    assert_eq!((&view["looked_at"], &view["applied"]), (&json!(12), &json!(false)));

    // Not for everybody; what is of the file is changed there; and it is bounded.
    let (ok, said) = w.doorward(&agent, &ask);
    assert!(!ok && said.contains("edit_connections"), "{said}");
    let (ok, said) = w.doorward(&keeper, &["connections", "classify", "orders", "--apply"]);
    assert!(!ok && said.contains("is defined in the configuration file"), "{said}");
    let (ok, said) = w.doorward(&keeper, &["connections", "classify", "orders", "--sample", "1001"]);
    assert!(!ok && said.contains("from 1 to 1000"), "{said}");
    let (ok, said) = w.doorward(&keeper, &["connections", "classify", "orders"]);
    println!("{said}");
    assert!(ok && said.contains("public.people.contact") && said.contains("propose email, pii"), "{said}");
    assert!(said.contains("email in 2 of 2") && said.contains("named like birth_date"), "{said}");

    // What is of the store is tagged, once, and the log says by whom.
    let secret = w.gateway.directory().join("secret-in");
    std::fs::write(&secret, w.postgres.password()).unwrap();
    let (ok, said) = w.doorward(&keeper, &["secrets", "set", "own", "--file", secret.to_str().unwrap()]);
    assert!(ok, "{said}");
    let (port, file) = (free_port().unwrap(), w.gateway.directory().join("connection.toml"));
    let spec = format!(
        "kind = \"postgres\"\nlisten = \"127.0.0.1:{port}\"\nupstream = \"{}\"\ndatabase = \"orders\"\nuser = \"{}\"\n\
         secret = \"own\"\ntls = \"disable\"\n[tags]\n\"public.people.note\" = [\"text\"]\n",
        w.postgres.address(),
        w.postgres.user()
    );
    std::fs::write(&file, spec).unwrap();
    let (ok, said) = w.doorward(&keeper, &["connections", "set", "stored", "--file", file.to_str().unwrap()]);
    assert!(ok, "{said}");
    let seen = || {
        let mut psql = w.psql_command(&agent);
        let out =
            psql.args(["-p", &port.to_string(), "-c", "select contact from people where id = 1"]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(seen(), VALUES[0]);
    let (ok, said) = w.doorward(&keeper, &["connections", "classify", "stored", "--apply"]);
    assert!(ok && said.contains("tagged email, pii"), "{said}");
    nowhere(&w.state(), &said);
    assert_eq!(seen(), "[email]");
    let (ok, said) = w.doorward(&keeper, &["connections", "show", "stored"]);
    assert!(ok && said.contains("tag   public.people.contact = email, pii"), "{said}");
    assert!(said.contains("tag   public.people.note = email, pii, text"), "{said}");
    let log: Vec<String> = w.audit("administration").iter().map(ToString::to_string).collect();
    assert!(log.iter().any(|e| e.contains("tag public.people.contact of connection stored as email, pii")), "{log:?}");
    nowhere(&w.state(), &log.join("\n"));
    let (ok, said) = w.doorward(&keeper, &["connections", "classify", "stored"]);
    assert!(ok && said.contains(": 0 to be tagged"), "{said}");
}

#[test]
fn columns_of_mariadb_are_classified_and_tagged() {
    let server = MySql::options().release(MySqlRelease::DebianMariaDb).database("public").start().unwrap();
    server
        .exec(&format!(
            "use public;
             create table people(id int primary key, contact text, pay decimal(20), note text, acct varchar(40), code text, birthday date);
             {ROWS}
             create view shown as select contact from people;"
        ))
        .unwrap();
    let w = MySqlWorld::over(server, POLICY, "tls = \"disable\"");
    let keeper = w.token("kim", &["keepers"], &[]);
    let (ok, said) = w.doorward(&keeper, &["connections", "classify", "orders", "--output", "json"]);
    assert!(ok, "{said}");
    nowhere(&w.gateway.directory().join("state"), &said);
    let view: Value = serde_json::from_str(&said).unwrap();
    let found = columns(&view);
    let proposed = |column: &str| found[column]["proposed"].clone();
    assert_eq!(proposed("public.people.contact"), json!(["email", "pii"]));
    assert_eq!(proposed("public.people.pay"), json!(["credit_card", "pii"]));
    assert_eq!(proposed("public.people.acct"), json!(["iban", "pii"]));
    assert_eq!(proposed("public.people.code"), json!(["pii", "us_ssn"]));
    assert_eq!(found["public.people.birthday"]["named"], "birth_date");
    assert!(!found.contains_key("public.shown.contact"), "{said}");
}
