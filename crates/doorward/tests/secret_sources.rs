//! Credentials that are kept in Vault, in AWS and in Kubernetes: taken, replaced, lent and given back; and nobody sees them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod common;
use common::World;
use common::{mysql::MySqlWorld, ssh::SshWorld};
use doorward_testkit::{Authority, Cluster, Moto, MySql, MySqlAuth, OpenSsh, Postgres, Unavailable, Vault};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const POLICY: &str = r#"
@id("all") permit (principal in Group::"agents", action, resource in Connection::"orders");
@id("see") permit (principal in Group::"agents", action == Action::"reveal", resource);
@id("keep") permit (principal in Group::"keepers", action in [Action::"view_secrets", Action::"edit_secrets",
    Action::"view_connections", Action::"edit_connections", Action::"test_connection"], resource);
"#;
const READ: &str = "path \"secret/data/*\" { capabilities = [\"read\"] }
path \"database/creds/*\" { capabilities = [\"read\"] }
path \"kv1/*\" { capabilities = [\"read\"] }
path \"sys/leases/*\" { capabilities = [\"update\"] }";
const ORDERS: &str = "credential = { vault = \"secret/data/orders\", field = \"password\" }";

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited for {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn password(postgres: &Postgres, new: &str) {
    postgres.exec(&format!("alter role {} password '{new}'", postgres.user())).unwrap();
}

fn keep(vault: &Vault, secret: &str) {
    vault.call("POST", "secret/data/orders", &json!({ "data": { "password": secret } })).unwrap();
}

/// Why sessions of late were not logged in, of the audit log.
fn failures(w: &World) -> String {
    w.audit("fault").iter().map(Value::to_string).collect()
}

/// `[secrets.vault]` by AppRole, with the secret id in a file.
fn by_approle(vault: &Vault, settings: &Value, dir: &std::path::Path) -> String {
    let (role, secret) = vault.approle("doorward", READ, settings).unwrap();
    let file = dir.join("secret-id");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    format!(
        "[secrets.vault]\naddress = \"{}\"\n\
         auth = {{ method = \"approle\", role_id = \"{role}\", secret_id = {{ file = \"{}\" }} }}\n",
        vault.url(),
        file.display()
    )
}

/// Nothing of the gateway's has this text in it.
fn is_nowhere(w: &World, text: &str) {
    let found = Command::new("grep").args(["-rla", text]).arg(w.gateway.directory()).output().unwrap();
    assert!(found.stdout.is_empty(), "`{text}` is in {}", String::from_utf8_lossy(&found.stdout));
}

#[test]
fn a_password_of_vault_is_taken_and_so_is_its_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = Vault::start().unwrap();
    vault.mount_kv2("secret").unwrap();
    let postgres = Postgres::start().unwrap();
    password(&postgres, "first-word-of-vault");
    keep(&vault, "first-word-of-vault");
    let secrets = by_approle(&vault, &json!({}), dir.path());
    // What is fresh for an hour is asked for anew when the server does not accept it.
    let w = World::over(postgres, POLICY, &format!("{ORDERS}\n[secrets]\ncache_seconds = 3600\n{secrets}"));
    let agent = w.token("ci-bot", &["agents"], &[]);
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    let mut child = w.psql_command(&agent).args(["-q"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut ask = |what: &str| {
        writeln!(input, "select '{what}';").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(ask("before"), "before");
    password(&w.postgres, "second-word-of-vault");
    keep(&vault, "second-word-of-vault");
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1", "at once: {}", failures(&w));
    assert_eq!(ask("after"), "after", "a session that is logged in goes on");
    drop(input);
    child.wait().unwrap();
    // It is wrong in Vault: the log-in is refused, and Vault is not asked by each who tries.
    password(&w.postgres, "a-word-that-vault-does-not-know");
    for _ in 0..5 {
        assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in at the database server"));
    }
    let (_, audit) = w.doorward("", &["audit", "list", "--output", "json"]);
    for word in ["word-of-vault", "hvs."] {
        assert!(!audit.contains(word), "{audit}");
        is_nowhere(&w, word);
    }
}

#[test]
fn a_source_that_is_away_refuses_with_its_name_and_does_not_hang() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = Vault::start().unwrap();
    vault.mount_kv2("secret").unwrap();
    let postgres = Postgres::start().unwrap();
    keep(&vault, postgres.password());
    let secrets = by_approle(&vault, &json!({}), dir.path());
    let w = World::over(postgres, POLICY, &format!("{ORDERS}\n[secrets]\ncache_seconds = 0\n{secrets}"));
    let agent = w.token("ci-bot", &["agents"], &[]);
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    // A path that is not there, and one that it may not read, are said with what to do.
    vault.call("DELETE", "secret/metadata/orders", &Value::Null).unwrap();
    assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in at the database server"));
    assert!(failures(&w).contains("there is nothing at `secret/data/orders` in Vault"), "{}", failures(&w));
    vault.call("POST", "sys/policies/acl/doorward", &json!({ "policy": "# nothing" })).unwrap();
    until("the other refusal", || {
        w.psql(&agent, &["-c", "select 1"]);
        failures(&w).contains("Vault does not let us read `secret/data/orders`")
    });
    // It takes connections and says nothing.
    let stopped = Command::new("kill").args(["-STOP", &vault.process().pid().to_string()]).status().unwrap();
    assert!(stopped.success());
    // A second long, those who ask hear what was said before.
    until("the time it had", || {
        assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in at the database server"));
        failures(&w).contains("it did not answer in time")
    });
    vault.process().kill9().unwrap();
    until("the other reason", || {
        assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in at the database server"));
        failures(&w).contains("onnection refused")
    });
}

#[test]
fn a_user_and_its_password_are_taken_from_the_first_version_of_kv() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::start().unwrap();
    vault.call("POST", "sys/mounts/kv1", &json!({ "type": "kv" })).unwrap();
    let postgres = Postgres::start().unwrap();
    let both = json!({ "username": postgres.user(), "password": postgres.password() });
    vault.call("POST", "kv1/orders", &both).unwrap();
    let secrets = by_approle(&vault, &json!({}), dir.path());
    let lines = format!("credential = {{ vault = \"kv1/orders\" }} # the user comes with it\n{secrets}");
    let user = postgres.user().to_owned();
    let w = World::over(postgres, POLICY, &lines);
    let agent = w.token("ci-bot", &["agents"], &[]);
    assert_eq!(w.psql(&agent, &["-c", "select current_user"]).trim(), user, "{}", failures(&w));
    // A connection that says another user than the secret does shows its password to nobody.
    vault.call("POST", "kv1/orders", &json!({ "username": "somebody-else", "password": "x" })).unwrap();
    let lines = format!("credential = {{ vault = \"kv1/orders\" }}\n{secrets}");
    let w = World::with(POLICY, &lines);
    assert!(w.psql(&w.token("ci-bot", &["agents"], &[]), &["-c", "select 1"]).contains("could not log in"));
    assert!(failures(&w).contains("is of user `somebody-else`"), "{}", failures(&w));
}

#[test]
fn the_last_good_value_goes_on_only_where_that_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = Vault::start().unwrap();
    vault.mount_kv2("secret").unwrap();
    let postgres = Postgres::start().unwrap();
    keep(&vault, postgres.password());
    let secrets = by_approle(&vault, &json!({}), dir.path());
    let lines = format!("{ORDERS}\n[secrets]\ncache_seconds = 0\nlast_good_seconds = 3600\n{secrets}");
    let w = World::over(postgres, POLICY, &lines);
    let agent = w.token("ci-bot", &["agents"], &[]);
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    vault.process().kill9().unwrap();
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    assert!(w.gateway.log().contains("its last good value goes on"));
    password(&w.postgres, "another-one");
    for _ in 0..2 {
        assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in"), "a refused one is not good");
    }
}

/// Vault's database engine over a server: roles of `ttl` seconds for the connection.
fn lends(vault: &Vault, postgres: &Postgres, ttl: &str, longest: &str) {
    postgres.exec("create role vaultadmin superuser login password 'of-vault-itself'").unwrap();
    vault.call("POST", "sys/mounts/database", &json!({ "type": "database" })).unwrap();
    let url = format!("postgresql://{{{{username}}}}:{{{{password}}}}@{}/orders?sslmode=disable", postgres.address());
    let config = json!({ "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": url,
        "username": "vaultadmin", "password": "of-vault-itself" });
    vault.call("POST", "database/config/orders", &config).unwrap();
    let role = json!({ "db_name": "orders", "default_ttl": ttl, "max_ttl": longest, "creation_statements":
        ["CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"] });
    vault.call("POST", "database/roles/orders", &role).unwrap();
}

fn lent(w: &World) -> Vec<String> {
    let roles = w.postgres.query("select rolname from pg_roles where rolname like 'v-%' order by 1").unwrap();
    roles.lines().map(str::to_owned).collect()
}

#[test]
fn users_that_vault_lends_are_renewed_replaced_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::start().unwrap();
    let postgres = Postgres::start().unwrap();
    lends(&vault, &postgres, "8s", "1h");
    let secrets = by_approle(&vault, &json!({ "token_ttl": "10s", "token_max_ttl": "1h" }), dir.path());
    let lines = format!(
        "credential = {{ vault = \"database/creds/orders\" }} # the user comes with it\nrotation = \"end\"\n{secrets}"
    );
    let mut w = World::over(postgres, POLICY, &lines);
    let agent = w.token("ci-bot", &["agents"], &[]);
    let (ok, said) = w.doorward(&w.token("kim", &["keepers"], &[]), &["connections", "test", "orders"]);
    assert!(ok && said.contains("PostgreSQL"), "{said}");
    let user = w.psql(&agent, &["-c", "select current_user"]).trim().to_owned();
    assert!(user.starts_with("v-approle-orders-"), "{user} {}", failures(&w));
    assert_eq!(lent(&w), std::slice::from_ref(&user), "one for the test and the session");
    // Longer than the lease, and than the token that it was given under.
    let lease = || {
        let path = "sys/leases/lookup/database/creds/orders?list=true";
        let keys = vault.call("GET", path, &Value::Null).unwrap();
        format!("database/creds/orders/{}", keys["keys"][0].as_str().unwrap_or_default())
    };
    let first = lease();
    let mut renewals = std::collections::BTreeSet::new();
    until("three renewals", || {
        let known = vault.call("PUT", "sys/leases/lookup", &json!({ "lease_id": first })).unwrap();
        renewals.extend(known["last_renewal"].as_str().map(str::to_owned));
        renewals.len() == 3
    });
    assert_eq!(w.psql(&agent, &["-c", "select current_user"]).trim(), user, "{}", w.gateway.log());
    assert_eq!(lease(), first);
    // Somebody takes it away at Vault: the next log-in has another, and sessions of before end, as this one says.
    let mut child =
        w.psql_command(&agent).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let live = |w: &World| w.doorward(&w.token("o", &["dba"], &[]), &["sessions", "list", "--live"]).1;
    until("the session", || live(&w).contains("orders"));
    vault.call("PUT", "sys/leases/revoke-prefix/database/creds/orders", &json!({})).unwrap();
    until("its user to be gone", || lent(&w).is_empty());
    let next = w.psql(&agent, &["-c", "select current_user"]).trim().to_owned();
    assert!(next.starts_with("v-approle-orders-") && next != user, "{next} {}", failures(&w));
    until("the end of the session", || !live(&w).contains("orders"));
    let _over = child.kill();
    let _over = child.wait();
    w.gateway.stop().unwrap();
    assert_eq!(lent(&w), Vec::<String>::new(), "given back: {}", w.gateway.log());
    assert!(!w.gateway.log().contains("hvs."));
}

#[test]
fn a_user_that_vault_lent_is_given_back_with_the_last_session_that_uses_it() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::start().unwrap();
    let postgres = Postgres::start().unwrap();
    lends(&vault, &postgres, "1h", "2h");
    let secrets = by_approle(&vault, &json!({ "token_ttl": "1h" }), dir.path());
    let mut w = World::over(
        postgres,
        POLICY,
        &format!("credential = {{ vault = \"database/creds/orders\" }} # the user comes with it\n{secrets}"),
    );
    let agent = w.token("ci-bot", &["agents"], &[]);
    let mut child =
        w.psql_command(&agent).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let live = |w: &World| w.doorward(&w.token("o", &["dba"], &[]), &["sessions", "list", "--live"]).1;
    until("the session", || live(&w).contains("orders"));
    let first = lent(&w);
    assert_eq!(first.len(), 1);
    // It is no longer accepted: the next log-in has another, while the session goes on.
    w.postgres.exec(&format!("alter role \"{}\" password 'another'", first[0])).unwrap();
    let next = w.psql(&agent, &["-c", "select current_user"]).trim().to_owned();
    assert!(next.starts_with("v-approle-orders-") && next != first[0], "{next} {}", failures(&w));
    // Longer than between two looks at what is to be given back.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(lent(&w).len(), 2, "the session uses it: {}", w.gateway.log());
    drop(child.stdin.take());
    until("the end of the session", || !live(&w).contains("orders"));
    until("what nobody uses to be given back", || lent(&w) == std::slice::from_ref(&next));
    let _over = child.wait();
    w.gateway.stop().unwrap();
    assert_eq!(lent(&w), Vec::<String>::new(), "given back: {}", w.gateway.log());
}

/// What a server refuses for another reason than a wrong password takes nobody's user away; and one that is wrong is replaced
/// at a pace, however often somebody tries.
#[test]
fn nobody_has_lent_users_replaced_by_trying() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::start().unwrap();
    let postgres = Postgres::start().unwrap();
    lends(&vault, &postgres, "1h", "2h");
    let secrets = by_approle(&vault, &json!({ "token_ttl": "1h" }), dir.path());
    let lines = format!(
        "credential = {{ vault = \"database/creds/orders\" }} # the user comes with it\nrotation = \"end\"\n{secrets}"
    );
    let w = World::over(postgres, POLICY, &lines);
    let agent = w.token("ci-bot", &["agents"], &[]);
    let mut child =
        w.psql_command(&agent).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let live = |w: &World| w.doorward(&w.token("o", &["dba"], &[]), &["sessions", "list", "--live"]).1;
    until("the session", || live(&w).contains("orders"));
    let first = lent(&w);
    // 28000: the user may not log in.
    w.postgres.exec(&format!("alter role \"{}\" nologin", first[0])).unwrap();
    for _ in 0..3 {
        assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in"));
        // Longer than between two questions to Vault.
        thread::sleep(Duration::from_millis(2_100));
    }
    assert_eq!(lent(&w), first, "{}", failures(&w));
    assert!(live(&w).contains("orders"), "nobody's session has ended");
    // 28P01: once, another is lent, and accepted; the next time it takes minutes.
    w.postgres.exec(&format!("alter role \"{}\" login password 'another'", first[0])).unwrap();
    let second = w.psql(&agent, &["-c", "select current_user"]).trim().to_owned();
    assert!(second.starts_with("v-approle-orders-") && second != first[0], "{second} {}", failures(&w));
    until("the end of the session, and of its user", || lent(&w) == std::slice::from_ref(&second));
    w.postgres.exec(&format!("alter role \"{second}\" password 'another'")).unwrap();
    for _ in 0..3 {
        assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in"));
        thread::sleep(Duration::from_millis(2_100));
    }
    assert_eq!(lent(&w), [second.as_str()]);
    // What Vault itself has ended is replaced at once.
    vault.call("PUT", "sys/leases/revoke-prefix/database/creds/orders", &json!({})).unwrap();
    until("its user to be gone", || lent(&w).is_empty());
    until("another", || w.psql(&agent, &["-c", "select current_user"]).starts_with("v-approle-orders-"));
    let _over = child.kill();
    let _over = child.wait();
}

#[test]
fn users_of_mysql_are_lent_too() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::start().unwrap();
    let server = MySql::options().database("public").start().unwrap();
    server.create_account("vaultadmin", "of-vault-itself", MySqlAuth::Native).unwrap();
    server.exec("grant all on *.* to vaultadmin with grant option").unwrap();
    vault.call("POST", "sys/mounts/database", &json!({ "type": "database" })).unwrap();
    let config = json!({ "plugin_name": "mysql-database-plugin", "allowed_roles": "*",
        "connection_url": format!("{{{{username}}}}:{{{{password}}}}@tcp({})/", server.address()),
        "username": "vaultadmin", "password": "of-vault-itself" });
    vault.call("POST", "database/config/orders", &config).unwrap();
    let role = json!({ "db_name": "orders", "default_ttl": "1h", "creation_statements":
        ["CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT ALL ON public.* TO '{{name}}'@'%'"] });
    vault.call("POST", "database/roles/orders", &role).unwrap();
    let secrets = by_approle(&vault, &json!({}), dir.path());
    let lines = format!(
        "tls = \"disable\"\ncredential = {{ vault = \"database/creds/orders\" }} # the user comes with it\n{secrets}"
    );
    let w = MySqlWorld::over(server, POLICY, &lines);
    let token = w.token("ci-bot", &["agents"], &[]);
    let user = || w.run(&token, "select current_user()").trim().to_owned();
    let first = user();
    assert!(first.starts_with("v-"), "{first} {}", w.gateway.log());
    assert_eq!(user(), first);
    vault.call("PUT", "sys/leases/revoke-prefix/database/creds/orders", &json!({})).unwrap();
    let second = user();
    assert!(second.starts_with("v-") && second != first, "{second}");
}

#[test]
fn a_private_key_of_vault_is_taken_and_so_is_its_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = Vault::start().unwrap();
    vault.mount_kv2("secret").unwrap();
    let sshd = OpenSsh::start().unwrap();
    let right = std::fs::read_to_string(sshd.private_key()).unwrap();
    let wrong = dir.path().join("wrong");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&wrong).status().unwrap();
    assert!(made.success());
    let keep = |key: &str| vault.call("POST", "secret/data/web", &json!({ "data": { "key": key } })).unwrap();
    keep(&std::fs::read_to_string(&wrong).unwrap());
    let secrets = by_approle(&vault, &json!({}), dir.path());
    let credential =
        format!("{{ vault = \"secret/data/web\", field = \"key\" }}\n[secrets]\ncache_seconds = 3600\n{secrets}");
    let policy = include_str!("../../../policies/examples/ssh.cedar");
    let w = SshWorld::with_credential(sshd, policy, &credential);
    let out = w.run("echo hello");
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stderr).contains("could not log in"), "{out:?}");
    keep(&right);
    until("the new key", || w.run("echo hello").stdout == b"hello\n");
}

#[test]
fn vault_knows_us_by_a_signed_token_and_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = Vault::start().unwrap();
    vault.mount_kv2("secret").unwrap();
    let postgres = Postgres::start().unwrap();
    keep(&vault, postgres.password());
    vault.call("POST", "sys/auth/k8s", &json!({ "type": "jwt" })).unwrap();
    vault.call("POST", "sys/policies/acl/doorward", &json!({ "policy": READ })).unwrap();
    let jwt = dir.path().join("jwt");
    let lines = format!(
        "{ORDERS}\n[secrets.vault]\naddress = \"{}\"\n\
         auth = {{ method = \"kubernetes\", role = \"doorward\", mount = \"k8s\", jwt = \"{}\" }}",
        vault.url(),
        jwt.display()
    );
    let w = World::over(postgres, POLICY, &lines);
    let agent = w.token("ci-bot", &["agents"], &[]);
    assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in"));
    assert!(failures(&w).contains("jwt: No such file"), "{}", failures(&w));
    let keys = format!("{}/jwks", w.issuer());
    let discovered = doorward_testkit::http_get(&format!("{}/.well-known/openid-configuration", w.issuer())).unwrap();
    let keys = discovered.json().unwrap()["jwks_uri"].as_str().map_or(keys, str::to_owned);
    vault.call("POST", "auth/k8s/config", &json!({ "jwks_url": keys })).unwrap();
    let role = json!({ "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["doorward"],
        "bound_subject": "the-gateway", "token_policies": ["doorward"] });
    vault.call("POST", "auth/k8s/role/doorward", &role).unwrap();
    std::fs::write(&jwt, w.token("the-gateway", &[], &[])).unwrap();
    until("the log-in", || w.psql(&agent, &["-c", "select 1"]).trim() == "1");

    // Over TLS, by whom the configuration trusts and nobody else.
    let authority = Authority::create(&dir.path().join("ca")).unwrap();
    let other = Authority::create(&dir.path().join("other")).unwrap();
    let safe = Vault::start_tls(&authority.server("vault").unwrap()).unwrap();
    for (ca, says) in [
        (authority.ca_file(), "there is nothing at `secret/data/orders`"),
        (other.ca_file(), "Vault cannot be reached"),
    ] {
        let lines = format!(
            "{ORDERS}\n[secrets.vault]\naddress = \"https://localhost:{}\"\ntls_ca = \"{}\"\n\
             auth = {{ method = \"token\", token = {{ value = \"{}\" }} }}",
            safe.port(),
            ca.display(),
            safe.root_token()
        );
        let w = World::with(POLICY, &lines);
        w.psql(&w.token("ci-bot", &["agents"], &[]), &["-c", "select 1"]);
        assert!(failures(&w).contains(says), "{says}: {}", failures(&w));
        let log = w.gateway.log();
        assert!(!log.contains(safe.root_token()) && !failures(&w).contains(safe.root_token()));
    }
}

#[test]
fn the_key_of_the_store_may_be_in_vault() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = Vault::start().unwrap();
    vault.mount_kv2("secret").unwrap();
    let made = Command::new("openssl").args(["rand", "-base64", "32"]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    vault.call("POST", "secret/data/doorward", &json!({ "data": { "key": key } })).unwrap();
    let secrets = by_approle(&vault, &json!({}), dir.path());
    let lines = format!(
        "credential = {{ secret = \"p\" }}\n[secrets]\nkey = {{ vault = \"secret/data/doorward\", field = \"key\" }}\n{secrets}"
    );
    let mut w = World::with(POLICY, &lines);
    let (agent, keeper) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["keepers"], &[]));
    let file = dir.path().join("p");
    std::fs::write(&file, w.postgres.password()).unwrap();
    let (ok, said) = w.doorward(&keeper, &["secrets", "set", "p", "--file", file.to_str().unwrap()]);
    assert!(ok, "{said}");
    w.gateway.stop().unwrap();
    w.gateway.restart().unwrap();
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1");
    is_nowhere(&w, &key);
    assert!(!w.state().join("keys/secrets.key").exists());
    w.gateway.stop().unwrap();
    vault.process().kill9().unwrap();
    assert!(w.gateway.restart().is_err());
    assert!(w.gateway.log().contains("Vault cannot be reached"), "{}", w.gateway.log());
}

#[test]
fn a_connection_of_the_store_knows_them_by_name_and_is_tried_before_it_is_kept() {
    let aws = Moto::start().unwrap();
    let postgres = Postgres::start().unwrap();
    password(&postgres, "word-of-aws");
    let secret = |word: &str| json!({ "username": postgres.user(), "password": word }).to_string();
    let new = json!({ "Name": "prod/orders", "SecretString": secret("not-this-one") });
    aws.secrets_manager("CreateSecret", &new).unwrap();
    let (address, user) = (postgres.address(), postgres.user().to_owned());
    let right = json!({ "SecretId": "prod/orders", "SecretString": secret("word-of-aws") });
    let lines = format!(
        "credential = {{ aws = \"prod/orders\" }} # the user comes with it\n[secrets]\ncache_seconds = 0\n\
         [secrets.named]\norders-of-aws = {{ aws = \"prod/orders\" }}\nodd = {{ aws = \"prod/none\" }}\n\
         [secrets.aws]\nregion = \"eu-central-1\"\nendpoint = \"{}\"\naccess_key_id = \"AKIDEXAMPLE\"\n\
         secret_access_key = {{ value = \"wJalrXUtnFEMI-key-of-aws\" }}",
        aws.url()
    );
    let w = World::over(postgres, POLICY, &lines);
    let (agent, keeper) = (w.token("ci-bot", &["agents"], &[]), w.token("kim", &["keepers"], &[]));
    assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in"));
    let spec = w.gateway.directory().join("spec.json");
    let port = doorward_testkit::free_port().unwrap();
    let write = |secret: &str| {
        let spec_of = json!({ "kind": "postgres", "listen": format!("127.0.0.1:{port}"), "upstream": address.to_string(),
            "database": "orders", "tls": "disable", "user": user, "secret": secret });
        std::fs::write(&spec, spec_of.to_string()).unwrap();
    };
    let set = || w.doorward(&keeper, &["connections", "set", "more-orders", "--file", spec.to_str().unwrap()]);
    write("orders-of-aws");
    let (ok, said) = set();
    assert!(!ok && said.contains("nothing was changed"), "{said}");
    aws.secrets_manager("PutSecretValue", &right).unwrap();
    let (ok, said) = set();
    assert!(ok && said.contains("is served"), "{said}");
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1", "{}", failures(&w));
    write("odd");
    let (ok, said) = set();
    assert!(!ok && said.contains("there is no secret `prod/none` in AWS Secrets Manager"), "{said}");
    let (ok, said) = w.doorward(&keeper, &["secrets", "list"]);
    assert!(
        ok && said.contains("orders-of-aws") && said.contains("in aws prod/orders, used by more-orders, orders"),
        "{said}"
    );
    let file = w.gateway.directory().join("spec.json");
    let (ok, said) = w.doorward(&keeper, &["secrets", "set", "orders-of-aws", "--file", file.to_str().unwrap()]);
    assert!(!ok && said.contains("is kept elsewhere (aws prod/orders): change it there"), "{said}");
    assert!(!w.gateway.log().contains("word-of-aws"));
    let found = Command::new("grep").args(["-rla", "word-of-aws\\|key-of-aws"]).arg(w.state()).output().unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
}

#[test]
fn a_secret_of_kubernetes_is_taken_and_so_is_its_change() {
    let cluster = match Cluster::start() {
        Ok(cluster) => cluster,
        Err(e) if e.downcast_ref::<Unavailable>().is_some_and(|u| u.remedy.contains("root")) => return,
        Err(e) => panic!("{e:#}"),
    };
    let postgres = Postgres::start().unwrap();
    let kubectl = cluster.kubectl().unwrap();
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "read-secrets" },
        "rules": [{ "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["orders"], "verbs": ["get"] }] });
    kubectl.apply(&role.to_string()).unwrap();
    let token = cluster.service_account_token("prod", "doorward", "read-secrets").unwrap();
    let user = postgres.user().to_owned();
    let keep = |word: &str| {
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "orders", "namespace": "prod" },
            "type": "kubernetes.io/basic-auth", "stringData": { "username": user, "password": word } });
        kubectl.apply(&secret.to_string()).unwrap();
    };
    keep("first-word-of-kubernetes");
    password(&postgres, "first-word-of-kubernetes");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let lines = format!(
        "credential = {{ kubernetes = \"prod/orders\" }}\n[secrets]\ncache_seconds = 3600\n\
         [secrets.kubernetes]\nserver = \"{}\"\ntls_ca = \"{}\"\ntoken_file = \"{}\"",
        cluster.url(),
        cluster.ca_file().display(),
        file.display()
    );
    let w = World::over(postgres, POLICY, &lines);
    let agent = w.token("ci-bot", &["agents"], &[]);
    assert_eq!(w.psql(&agent, &["-c", "select 1"]).trim(), "1", "{}", failures(&w));
    password(&w.postgres, "second-word-of-kubernetes");
    assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in"));
    keep("second-word-of-kubernetes");
    until("the new one", || w.psql(&agent, &["-c", "select 1"]).trim() == "1");
    // Whoever is not known any more is told so, and by whom.
    std::fs::write(&file, "not-a-token").unwrap();
    password(&w.postgres, "third-word-of-kubernetes");
    until("the refusal", || {
        assert!(w.psql(&agent, &["-c", "select 1"]).contains("could not log in"));
        failures(&w).contains("the API server does not know who we are")
    });
    is_nowhere(&w, "word-of-kubernetes");
    assert!(!w.gateway.log().contains(&token));
}
