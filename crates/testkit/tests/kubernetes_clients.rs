//! The real Kubernetes clients against the API server itself: what fails here is the client's or the machine's fault, not
//! a gateway's.

use anyhow::Result;
use doorward_testkit::{Cluster, KubernetesMatrix};

#[test]
fn every_client_passes_without_a_gateway() -> Result<()> {
    let cluster = Cluster::start()?;
    let token = cluster.service_account_token("e2e", "clients", "cluster-admin")?;
    let matrix = |token: &str| KubernetesMatrix::new(&cluster.url(), cluster.ca_file(), token).namespace("e2e");
    let report = matrix(&token).run()?;
    assert!(report.passed, "{}\n{}", report.output, cluster.log("kubelet"));
    assert!(report.output.trim_end().ends_with(" passed, 0 failed"), "{}", report.output);
    println!("{}", report.output);

    let left = "get pods,configmaps,deployments,secrets -n e2e -o name".split(' ').collect::<Vec<_>>();
    let left = cluster.kubectl()?.run(&left)?;
    assert!(!left.contains("e2e-"), "left behind: {left}");

    // A client that may do less than it expects, or is let in nowhere, is not passed over.
    let reader = cluster.service_account_token("e2e", "reader", "view")?;
    let quick = ["client-go", "helm"];
    for token in [reader.as_str(), "wrong"] {
        let report = matrix(token).clients(&quick).env("E2E_TIMEOUT", "10").run()?;
        assert_eq!(report.output.matches("  FAILED").count(), quick.len(), "{}", report.output);
    }
    assert!(!matrix(&token).clients(&["no-such-client"]).run()?.passed);
    Ok(())
}
