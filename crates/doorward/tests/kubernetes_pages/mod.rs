//! Kubernetes on the web pages, in a real Chromium: what waits is decided, what was done is looked at.
use super::common::{
    browser::{Verdict, Visit},
    kubernetes::KubernetesWorld,
};
use doorward_testkit::Screen;

const COMMAND: [&str; 7] = ["exec", "-n", "shop", "prod", "--", "echo", "<b>seen"];
const STATEMENT: &str = "exec pods shop/prod -c main -- echo '<b>seen'";

pub(crate) fn an_exec_is_decided_and_replayed(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let visit = Visit::new(w.api, Screen::Desktop);
    visit.sign_in(&w.token("anna", "sre"), "/approvals");
    visit.browser.wait_for("Nothing waits for you").unwrap();

    let about = ["dev/ci-bot", "k8s", "exec on Pod `shop/pods/prod`", "prod-pods", "into a production pod", "1 of sre"];
    let child = super::started(&agent, &COMMAND);
    visit.decide(Verdict::Approve, STATEMENT, &about, "for <b>once</b>");
    visit.picture("approval-kubernetes");
    let out = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "<b>seen\n");
    super::assert_said(&super::text(&out), &["held for approval by sre", "doorward: approved", "[0]"]);
    let child = super::started(&agent, &COMMAND);
    visit.decide(Verdict::Deny, STATEMENT, &about, "not <b>now</b>");
    let out = child.wait_with_output().unwrap();
    assert!(out.stdout.is_empty());
    super::assert_said(&super::text(&out), &["not <b>now</b>", "[1]"]);

    // The session of the one that ran: what was asked, what came of it, and its terminal.
    visit.open("/sessions?outcome=forward&text=seen");
    visit.browser.click("section[aria-labelledby=past] tbody a").unwrap();
    visit.browser.wait_in("section[aria-labelledby=requests]", "exit 0").unwrap();
    visit.browser.wait_in("section[aria-labelledby=requests]", "<b>seen").unwrap();
    visit.picture("replay-kubernetes");
    visit.is_sound();
    visit.browser.click("section[aria-labelledby=requests] .button").unwrap();
    visit.plays("<b>seen");
    visit.picture("replay-kubernetes-terminal");
}

/// A request with its head and body, masked as its caller saw it.
pub(crate) fn requests_are_looked_at(w: &KubernetesWorld) {
    let agent = w.kubectl("ci-bot", "agents");
    let card = "{apiVersion: v1, kind: ConfigMap, metadata: {name: shown, namespace: shop, annotations: {a: '<img src=x>'}}, data: {n: '4111111111111111'}}";
    w.cluster.kubectl().unwrap().apply(card).unwrap();
    super::said(&agent, &["get", "configmap", "shown", "-n", "shop", "-o", "yaml"]);
    let visit = Visit::new(w.api, Screen::Phone);
    visit.sign_in(&w.token("anna", "sre"), "/sessions?text=configmaps+shop/shown");
    visit.browser.text("section[aria-labelledby=past] tbody a").unwrap();
    visit.browser.click("section[aria-labelledby=past] tbody a").unwrap();
    visit.browser.wait_in("section[aria-labelledby=requests]", "get configmaps shop/shown").unwrap();
    visit.is_sound();
    let open = "[...document.querySelectorAll('section[aria-labelledby=requests] a')].find((a) => a.innerText.includes('shop/shown')).click();";
    visit.browser.script(open, &[]).unwrap();
    visit.browser.wait_for("GET /api/v1/namespaces/shop/configmaps/shown").unwrap();
    visit.browser.wait_for("[credit_card]").unwrap();
    visit.browser.wait_for("<img src=x>").unwrap();
    assert!(!visit.browser.page().unwrap().contains("4111111111111111"));
    visit.is_sound();
    visit.picture("request-kubernetes-phone");
}
