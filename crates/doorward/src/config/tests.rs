//! A configuration file that is right, and what is wrong with others.
use super::*;

fn load(text: &str) -> Result<Config> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("doorward.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

const GOOD: &str = r#"
[server]
state_dir = "state"
[[connections]]
name = "orders"
kind = "postgres"
listen = "127.0.0.1:6432"
upstream = "127.0.0.1:5432"
credential = { value = "hunter2" }
tls = "disable"
[policy]
files = ["a.cedar"]
"#;

#[test]
fn a_good_file_is_read_and_shows_no_secret() {
    let config = load(GOOD).unwrap();
    let shown = format!("{config:?} {:?}", config.postgres(&config.connections[0]).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn mistakes_are_named_with_their_place() {
    let typo = GOOD.replace("listen", "listten");
    let e = format!("{:#}", load(&typo).unwrap_err());
    assert!(e.contains("doorward.toml:7:1") && e.contains("listten"), "{e}");
    for (from, to, want) in [
        ("\"postgres\"", "\"oracle\"", "`oracle` is not supported"),
        ("127.0.0.1:6432", "0.0.0.0:6432", "not loopback"),
        ("tls = \"disable\"", "tls = \"maybe\"", "not a TLS mode"),
        ("value = \"hunter2\"", "env = \"DOORWARD_NO_SUCH\"", "DOORWARD_NO_SUCH is not set"),
        ("value = \"hunter2\"", "value = \"a\", file = \"b\"", "exactly one of"),
        ("files = [\"a.cedar\"]", "files = []", "names no files"),
        ("name = \"orders\"", "name = \"or/ders\"", "or hold a `/`"),
        ("127.0.0.1:5432", "127.0.0.1", "not host:port"),
        ("127.0.0.1:5432", "[::1:5432", "is no host"),
        ("127.0.0.1:5432", "::1:5432x", "is not a port"),
        ("127.0.0.1:5432", "a b:5432", "is no host"),
        ("127.0.0.1:5432", ":5432", "is no host"),
        ("tls = \"disable\"", "trust_on_first_use = true", "`trust_on_first_use` means nothing for kind \"postgres\""),
        ("tls = \"disable\"", "impersonate = \"caller\"", "`impersonate` means nothing for kind \"postgres\""),
        ("tls = \"disable\"", "held = \"retry\"", "`held` means nothing for kind \"postgres\""),
        ("\"postgres\"", "\"kubernetes\"\nheld = \"later\"", "unknown variant `later`"),
        (
            "[policy]",
            "[[identity.issuers]]\nname = \"ci\"\nissuer = \"https://a\"\naudience = [\"x\"]\nprincipal = \"agent\"\n\
             delegation = true\n[policy]",
            "`delegation` needs `principal = \"user\"`",
        ),
        (
            "[policy]",
            "[[identity.issuers]]\nname = \"ci\"\nissuer = \"http://a\"\naudience = [\"x\"]\nprincipal = \"agent\"\n[policy]",
            "plain http is for loopback only",
        ),
        ("kind = \"postgres\"", "kind = \"ssh\"", "`tls` means nothing for kind \"ssh\""),
    ] {
        let e = format!("{:#}", load(&GOOD.replace(from, to)).unwrap_err());
        assert!(e.contains(want), "{to}: {e}");
    }
}

#[test]
fn names_in_a_cluster_are_never_its_own() {
    let with = |more: &str| {
        load(&GOOD.replace("\"postgres\"", "\"kubernetes\"").replace("[policy]", &format!("{more}\n[policy]")))
    };
    assert!(with("impersonate = \"caller\"").is_ok());
    assert!(with("impersonate = \"caller\"\nimpersonate_prefix = \"\"\nimpersonate_tag = \"email\"").is_ok());
    for (more, want) in [
        ("impersonate_prefix = \"a:\"", "mean nothing without"),
        ("impersonate = \"caller\"\nimpersonate_prefix = \"system:\"", "keeps `system:` for itself"),
        ("impersonate = \"caller\"\nimpersonate_prefix = \" \"", "takes blanks off"),
        ("impersonate = \"gateway\"", "unknown variant"),
    ] {
        let e = format!("{:#}", with(more).unwrap_err());
        assert!(e.contains(want), "{more}: {e}");
    }
}

#[test]
fn host_keys_have_to_be_named() {
    let ssh = GOOD.replace("\"postgres\"", "\"ssh\"").replace("tls = \"disable\"", "");
    let e = format!("{:#}", load(&ssh).unwrap_err());
    assert!(e.contains("say which host keys"), "{e}");
    let first = ssh.replace("[policy]", "trust_on_first_use = true\n[policy]");
    assert!(load(&first).is_ok());
    let key = first.replace("hunter2", "-----BEGIN OPENSSH PRIVATE KEY-----\\nhunter2");
    let e = format!("{:#}", load(&key).unwrap_err());
    assert!(e.contains("not a private key") && !e.contains("hunter2"), "{e}");
}

#[test]
fn people_may_be_told_of_connections_that_are_registered_later() {
    let with = |connections: &str| {
        let notify = format!(
            "\n[[notify]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"https://hooks.example/x\"\n\
             secret = {{ value = \"0123456789abcdef\" }}\nconnections = [{connections}]\n"
        );
        load(&format!("{GOOD}{notify}")).map(drop).map_err(|e| format!("{e:#}"))
    };
    with("\"orders\", \"billing-2\"").unwrap();
    let e = with("\"orders\", \"Billing; drop\"").unwrap_err();
    assert!(e.contains("`Billing; drop` cannot be a connection"), "{e}");
}

#[test]
fn secrets_elsewhere_have_to_be_said_to_be_somewhere() {
    let vault = "[secrets.vault]\naddress = \"https://vault.example.com\"\n\
                 auth = { method = \"token\", token = { value = \"hvs.hunter2\" } }\n";
    let with = |credential: &str, more: &str| {
        let text =
            GOOD.replace("{ value = \"hunter2\" }", credential).replace("[policy]", &format!("{more}\n[policy]"));
        load(&text)
    };
    let of_vault = "{ vault = \"secret/data/orders\", field = \"password\" }";
    let config = with(of_vault, vault).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let named = format!("[secrets.named]\norders = {of_vault}\n{vault}");
    assert!(with("{ secret = \"orders\" }", &named).is_ok());
    let telemetry = |url: &str| format!("[telemetry]\notlp_endpoint = \"{url}\"");
    assert!(with("{ value = \"x\" }", &telemetry("http://127.0.0.1:4318")).is_ok());
    let bad_vault = |from: &str, to: &str| vault.replace(from, to);
    for (credential, more, want) in [
        (of_vault, "", "needs a [secrets.vault] that says where it is"),
        ("{ aws = \"prod/orders\" }", vault, "needs a [secrets.aws]"),
        ("{ kubernetes = \"orders\" }", vault, "`orders` is not NAMESPACE/NAME"),
        ("{ vault = \"secret/../sys/raw\" }", vault, "is not one"),
        ("{ vault = \"a\", aws = \"b\" }", vault, "exactly one of"),
        ("{ value = \"hunter2\", field = \"password\" }", vault, "`field` goes with"),
        ("{ command = [\"true\"] }", vault, "exactly one of"),
        (of_vault, &bad_vault("https", "http"), "[secrets.vault]: the address"),
        (of_vault, &bad_vault("token = {", "role = {"), "unknown field"),
        (of_vault, &bad_vault("[secrets.vault]", "[secrets]\ncache_second = 1\n[secrets.vault]"), "cache_second"),
        (
            of_vault,
            &bad_vault("[secrets.vault]", "[secrets]\ncache_seconds = 4000\n[secrets.vault]"),
            "at most an hour",
        ),
        (
            of_vault,
            &format!("[secrets.named]\nx = {{ value = \"hunter2\" }}\n{vault}"),
            "[secrets.named] x: it has to be",
        ),
        (of_vault, "[secrets.aws]\nregion = \"EU\"", "`EU` is no region"),
        (of_vault, "[secrets.aws]\nregion = \"eu-central-1\"\naccess_key_id = \"a\"", "go together"),
        (of_vault, "[secrets.kubernetes]\nserver = \"https://10.0.0.1\"", "say who we are"),
        ("{ value = \"x\" }", &telemetry("http://collector.example.com"), "[telemetry]: http:// is for loopback"),
        ("{ value = \"x\" }", "[telemetry]\nsample = 0.5", "nothing is traced without otlp_endpoint"),
    ] {
        let e = format!("{:#}", with(credential, more).unwrap_err());
        assert!(e.contains(want) && !e.contains("hunter2"), "{credential} {more}: {e}");
    }
}
