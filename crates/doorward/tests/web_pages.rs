//! Overview, audit, policies, connections and settings in a real Chromium.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod common;
use common::browser::{Visit, demo};
use doorward_testkit::Screen;

#[test]
fn what_happened_is_on_the_overview_and_in_the_audit_log() {
    let w = demo();
    let bot = w.token("ci-bot", &["agents", "analysts"], &[]);
    for sql in ["select name from products", "drop table <b>orders</b>", "drop table orders", "select 1"] {
        w.psql(&bot, &["-c", sql]);
    }
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.token("dana", &["dba"], &[]), "/");
    visit.browser.wait_for("Refused in the last 24 hours").unwrap();
    visit.browser.wait_for("drop table orders").unwrap();
    visit.picture("overview");
    visit.theme("dark");
    visit.picture("overview-dark");
    visit.no_complaints();

    visit.browser.click("nav a[href='/audit']").unwrap();
    visit.browser.wait_for("session_opened").unwrap();
    visit.picture("audit");
    visit.browser.script("document.getElementById('f-outcome').value = 'refuse';", &[]).unwrap();
    visit.browser.type_into("#f-principal", "ci-bot").unwrap();
    visit.browser.type_into("#f-text", "DROP TABLE orders").unwrap();
    visit.browser.click(".filters button").unwrap();
    // What is looked for was on the page before, too: that it is alone says that the search is over.
    visit.until("return document.querySelectorAll('main tbody tr').length;", 1);
    visit.browser.click("main tbody a").unwrap();
    visit.browser.wait_for("\"outcome\": \"refuse\"").unwrap();
    visit.browser.wait_in("section[aria-labelledby=again]", "no-ddl").unwrap();
    visit.picture("audit-entry");
    visit.is_sound();
    visit.open("/audit/verify");
    visit.browser.wait_for("intact").unwrap();
    visit.picture("audit-verified");
    let head = "return document.querySelector('main dd.code-cell').textContent;";
    let first = visit.browser.script(head, &[]).unwrap();
    // What was found is there for who comes later, with the head that it is of; what was written since is told.
    w.psql(&bot, &["-c", "select 2"]);
    visit.open("/audit/verify");
    visit.browser.wait_for("of which this says nothing").unwrap();
    assert_eq!(visit.browser.script(head, &[]).unwrap(), first, "it is not verified again");
    visit.browser.click("main form button").unwrap();
    let changed =
        "const dd = document.querySelector('main dd.code-cell'); return !!dd && dd.textContent !== arguments[0];";
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while visit.browser.script(changed, std::slice::from_ref(&first)).ok() != Some(true.into()) {
        assert!(std::time::Instant::now() < end, "{}", visit.browser.text("main").unwrap());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    visit.browser.wait_for("intact").unwrap();
    visit.no_complaints();
    // The browser complains of the status by itself.
    visit.open("/audit?event=nonsense");
    visit.browser.wait_for("is no kind of entry").unwrap();
    visit.browser.complaints().unwrap();

    // What is downloaded is what was looked for.
    let script = "return fetch('/audit.jsonl?outcome=refuse').then((r) => r.text());";
    let text = visit.browser.script(script, &[]).unwrap();
    let lines: Vec<serde_json::Value> =
        text.as_str().unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.len() >= 2 && lines.iter().all(|l| l["entry"]["outcome"] == "refuse"), "{text}");

    // Who may see none of it is told so.
    visit.sign_out();
    visit.sign_in(&bot, "/audit");
    visit.browser.wait_for("Not for you").unwrap();
}

#[test]
fn policies_are_read_and_statements_tried() {
    let w = demo();
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.token("dana", &["dba"], &[]), "/policies");
    visit.browser.wait_for("policy.cedar").unwrap();
    visit.browser.wait_for("None yet").unwrap();
    visit.picture("policies");
    for (statement, expected) in [
        ("drop table orders", "refuse"),
        ("select email from customers", "analysts-read"),
        ("update orders set total = 1 where id = 1", "needs an approval"),
        ("selec '<b>1</b>'", "syntax error"),
    ] {
        visit.fill("q-statement", statement);
        visit.fill("q-groups", "agents, analysts, dba");
        visit.browser.click("section[aria-labelledby=try] button").unwrap();
        visit.browser.wait_in("#answer", expected).unwrap();
        if statement.starts_with("select") {
            visit.picture("policies-try");
        }
        visit.is_sound();
    }
}

const GUESTS: &str = "@id(\"guests\") forbid (principal in Group::\"guests\", action, resource);\n";
const NO_PRODUCTS: &str = "@id(\"no-products\") @reason(\"<b>stock-taking</b>\")\n\
    forbid (principal, action == Action::\"select\", resource == Table::\"orders/public.products\");\n";

/// Everything from the first letter to the roll-back, the saving by keys alone.
#[test]
fn policies_are_written_checked_compared_tested_put_in_force_and_rolled_back() {
    let w = demo();
    let bot = w.token("ci-bot", &["agents"], &[]);
    let reads = || w.psql(&bot, &["-c", "select name from products where id = 1"]);
    assert!(reads().contains("thing 1"));
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.token("dana", &["dba"], &[]), "/policies");
    visit.browser.click("a[href='/policies/edit']").unwrap();
    visit.browser.text("#draft").unwrap();

    // What is wrong is said with its place, which is one click away.
    visit.fill("draft", "permit (principal,\n  acton, resource); // <b>");
    visit.browser.click("[formaction='/policies/check']").unwrap();
    visit.browser.wait_in("#checked", "line 2, column 3").unwrap();
    visit.browser.click("#checked a").unwrap();
    let at = "const e = document.activeElement; return e.id + ':' + e.value.slice(e.selectionStart, e.selectionEnd);";
    assert_eq!(visit.browser.script(at, &[]).unwrap(), "draft:acton");
    visit.picture("policy-check");
    visit.is_sound();
    visit.browser.click("form .primary").unwrap();
    visit.browser.wait_for("Nothing was saved").unwrap();
    assert!(visit.browser.complaints().unwrap().iter().all(|c| c.contains("422")));
    visit.fill("draft", GUESTS);
    visit.browser.click("[formaction='/policies/check']").unwrap();
    visit.browser.wait_for("It is right").unwrap();

    // Saved by keys: from the text to the reason, and Enter.
    visit.browser.script("document.getElementById('draft').focus();", &[]).unwrap();
    visit.browser.press("\u{e004}").unwrap();
    visit.browser.press("no <b>guests</b>").unwrap();
    visit.browser.enter().unwrap();
    visit.browser.wait_for("Nothing is in force by that").unwrap();
    visit.browser.wait_for("no <b>guests</b>").unwrap();
    visit.browser.click("[value=enforce]").unwrap();
    visit.browser.wait_in(".notice", "It is in force").unwrap();
    assert!(reads().contains("thing 1"));

    // A second one, made of the first: what it changes, what it would have done, watched, in force.
    visit.browser.click("a[href='/policies/edit?from=1']").unwrap();
    visit.browser.wait_for("from version 1").unwrap();
    visit.fill("draft", &format!("{GUESTS}{NO_PRODUCTS}"));
    visit.browser.click("form .primary").unwrap();
    visit.browser.wait_in(".diff .added", "no-products").unwrap();
    assert!(!visit.browser.text(".diff").unwrap().contains("+@id(\"guests\")"));
    visit.browser.click("section[aria-labelledby=back-test] button").unwrap();
    visit.browser.wait_in("#tested", "2 of ").unwrap();
    visit.browser.wait_in("section[aria-labelledby=back-test] table", "select name from products").unwrap();
    visit.browser.wait_in("section[aria-labelledby=back-test] table", "no-products").unwrap();
    visit.picture("policy-version");
    visit.theme("dark");
    visit.picture("policy-version-dark");
    visit.is_sound();
    // And one request of those that were recorded.
    visit.open("/audit?event=request&text=select+name+from+products");
    visit.browser.click("main tbody a").unwrap();
    visit.browser.wait_in("section[aria-labelledby=again] .tag", "forward").unwrap();
    let version = "document.getElementById('version').value = '2'; document.querySelector('section[aria-labelledby=again] form').submit();";
    visit.browser.script(version, &[]).unwrap();
    visit.browser.wait_in("section[aria-labelledby=again]", "By the facts").unwrap();
    visit.browser.wait_in("section[aria-labelledby=again] .tag", "refuse").unwrap();
    visit.browser.wait_in("section[aria-labelledby=again]", "no-products").unwrap();
    visit.picture("audit-entry-version");
    visit.is_sound();
    visit.open("/policies/versions/2");
    visit.browser.click("[value=monitor]").unwrap();
    visit.browser.wait_in(".notice", "It is watched").unwrap();
    assert!(reads().contains("thing 1"));
    visit.browser.type_into("#why", "because").unwrap();
    visit.browser.click("[value=enforce]").unwrap();
    visit.browser.wait_in(".notice", "It is in force").unwrap();
    let refused = reads();
    assert!(refused.contains("no-products") && refused.contains("<b>stock-taking</b>"), "{refused}");

    // Back to the first, then to the files alone.
    visit.open("/policies");
    visit.browser.wait_in("section[aria-labelledby=history]", "because").unwrap();
    visit.picture("policies-versions");
    visit.is_sound();
    visit.browser.click("section[aria-labelledby=versions] a[href$='/1']").unwrap();
    visit.browser.click("[value=enforce]").unwrap();
    visit.browser.wait_in(".notice", "It is in force").unwrap();
    assert!(reads().contains("thing 1"));
    visit.browser.click("[value=files]").unwrap();
    visit.browser.wait_for("the files of the configuration alone decide").unwrap();
    let done: Vec<String> = w.audit("administration").iter().map(|e| e["what"].to_string()).collect();
    assert!(done.iter().any(|d| d.contains("activate policies: version 2") && d.contains("because")), "{done:?}");
    assert!(done.last().is_some_and(|d| d.contains("activate policies: none")), "{done:?}");

    // Who may only look has no buttons, and no way around them.
    let looker =
        "@id(\"look\") permit (principal in Group::\"lookers\", action == Action::\"view_policies\", resource);\n";
    let before = std::fs::read_to_string(w.gateway.directory().join("policy.cedar")).unwrap();
    let changes = w.audit("policy_changed").len();
    w.gateway.write("policy.cedar", &format!("{before}{looker}")).unwrap();
    while w.audit("policy_changed").len() == changes {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    visit.sign_out();
    visit.sign_in(&w.token("lou", &["lookers"], &[]), "/policies/versions/2");
    visit.browser.wait_for("no-products").unwrap();
    assert_eq!(
        visit
            .browser
            .script("return document.querySelectorAll('main .primary, main .deny, [name=what]').length;", &[])
            .unwrap(),
        0
    );
    let script = "return fetch('/policies/activate', { method: 'POST', body: new URLSearchParams({ what: 'enforce', page: '2' }) }).then((r) => r.status);";
    assert_eq!(visit.browser.script(script, &[]).unwrap(), 403);
    visit.open("/policies/edit");
    visit.browser.wait_for("Not for you").unwrap();
}

const NASTY: &str = "<img src=x onerror=\"document.title='owned'\">'\u{202e}<script>document.title=1</script>";

/// Whatever callers and people wrote is text on every page, in light and dark, on a desk and on a phone.
#[test]
fn stored_markup_is_inert_on_every_page() {
    let w = demo();
    let nasty = w.token(NASTY, &["agents", "analysts", NASTY], &[]);
    let dana = w.token("dana", &["dba", NASTY], &[]);
    let psql = |sql: &str| {
        let mut command = w.psql_command(&nasty);
        command.args(["-U", NASTY, "-c", sql]).env("PGAPPNAME", NASTY).output().unwrap();
    };
    let quoted = NASTY.replace('\'', "''");
    psql(&format!("select '{quoted}' as \"{}\" from products", NASTY.replace('"', "\"\"")));
    psql(&format!("drop table \"{}\"", NASTY.replace('"', "\"\"")));
    let mut command = w.psql_command(&nasty);
    let update = format!("update orders set status = '{quoted}' where id = 1");
    command.args(["-c", &update]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut waiting = command.spawn().unwrap();

    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&dana, "/approvals");
    visit.browser.wait_in(".inbox", "<script>").unwrap();
    visit.is_sound();
    visit.browser.click("[data-open]").unwrap();
    visit.browser.wait_for("Exactly this would run").unwrap();
    visit.browser.type_into("#comment", "<img src=x><script>document.title=1</script>").unwrap();
    visit.browser.click("[data-deny]").unwrap();
    visit.browser.wait_for("the caller has been told").unwrap();
    waiting.wait().unwrap();
    let approval =
        visit.browser.url().unwrap().split('?').next().unwrap().strip_prefix(&visit.site).unwrap().to_owned();
    visit.open("/policies/edit");
    visit.fill("draft", &format!("// {NASTY}\n{GUESTS}"));
    visit.fill("comment", NASTY);
    visit.browser.click("form .primary").unwrap();
    visit.browser.wait_for("Nothing is in force by that").unwrap();
    visit.browser.click("[value=enforce]").unwrap();
    visit.browser.wait_in(".notice", "It is in force").unwrap();
    visit.open("/sessions?outcome=refuse");
    let script = "return [...document.querySelectorAll('section[aria-labelledby=past] tbody a')].map((a) => a.getAttribute('href'));";
    let session = visit.browser.script(script, &[]).unwrap()[0].as_str().unwrap().to_owned();
    drop(visit);

    let query = "%3Cimg%20src=x%20onerror=%22document.title=1%22%3E%27%22";
    let pages = [
        ("/", "<script>"),
        ("/approvals", "<script>"),
        (&approval, "<img src=x>"),
        ("/sessions", "<img"),
        (&session, "<script>"),
        ("/audit", "<script>"),
        ("/policies", "<script>"),
        ("/policies/versions/1", "<script>"),
        ("/policies/edit", "cannot be seen: U+202E"),
        ("/connections", "Connect"),
        ("/connections/orders", "Connect"),
        ("/new-connection", "Callers connect to"),
        ("/tags", "What is found in text"),
        ("/settings", "<script>"),
        ("/settings/gateway", "How long things are kept"),
        ("/settings/exporters", "Where the audit log goes"),
        ("/settings/holds", "on legal hold"),
        ("/settings/keys", "Nobody has made one"),
        (&format!("/sessions?text={query}&principal={query}"), "Sessions"),
        (&format!("/audit?text={query}&event={query}&since={query}"), "is no kind of entry"),
        (&format!("/nowhere/{query}"), "There is nothing here"),
    ];
    for screen in [Screen::Desktop, Screen::Phone] {
        let visit = Visit::new(w.api, screen);
        visit.sign_in(&dana, "/settings");
        visit.browser.wait_for("Where you are signed in").unwrap();
        for (page, expected) in &pages {
            visit.open(page);
            visit.browser.wait_for(expected).unwrap();
            let name = page.split(['?', '%']).next().unwrap().replace('/', "-");
            let name: String = name.chars().take(20).collect();
            // A page that is not there, or a filter that is none, is the browser's complaint.
            let failure =
                [("/nowhere", "404"), ("/audit?", "400")].into_iter().find(|(path, _)| page.starts_with(path));
            if let Some((_, status)) = failure {
                assert!(!visit.browser.overflows().unwrap());
                assert!(visit.browser.complaints().unwrap().iter().all(|c| c.contains(status)));
                continue;
            }
            visit.is_sound();
            if screen == Screen::Desktop {
                visit.is_used_by_keys();
            }
            for theme in ["light", "dark"] {
                visit.theme(theme);
                visit.is_readable();
                visit.picture(&format!("nasty-{screen:?}-{theme}{name}"));
            }
        }
    }
}

#[test]
fn connections_have_lines_that_work_and_every_page_fits_a_phone() {
    let w = demo();
    let token = w.token("dana", &["dba", "agents"], &[]);
    w.psql(&token, &["-c", "drop table orders"]);
    let visit = Visit::new(w.api, Screen::Phone);
    visit.sign_in(&token, "/connections");
    visit.browser.wait_for("Connect").unwrap();
    visit.picture("connections-phone");
    let line = visit.browser.text("#l-1-1").unwrap();
    assert!(line.contains(&format!("port={}", w.port)) && line.contains("dbname=orders"), "{line}");
    let run = line.replace("ca.crt", w.ca().to_str().unwrap());
    let out = std::process::Command::new("sh")
        .args(["-c", &format!("{run} -X -A -t -c 'select 40 + 2'")])
        .env("TOKEN", &token)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "42", "{}", String::from_utf8_lossy(&out.stderr));
    for page in
        ["/", "/approvals", "/sessions", "/audit", "/audit/verify", "/policies", "/connections", "/tags", "/settings"]
    {
        visit.open(page);
        visit.browser.text("h1").unwrap();
        assert!(!visit.browser.overflows().unwrap(), "{page} is wider than the screen");
        visit.picture(&format!("phone{}", page.replace('/', "-")));
    }
    visit.open("/settings");
    let settings = visit.browser.text("main").unwrap();
    for part in ["dev/dana", "agents", "this one", "identity token", "dba"] {
        assert!(settings.contains(part), "no {part:?} in {settings}");
    }
    visit.open("/nothing/here");
    visit.browser.wait_for("There is nothing here").unwrap();
    assert_eq!(visit.browser.complaints().unwrap().iter().filter(|c| !c.contains("404")).count(), 0);
}
