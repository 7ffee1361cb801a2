//! The real SSH clients against sshd itself: what fails here is the client's or the machine's fault, not a gateway's.

use anyhow::Result;
use doorward_testkit::{OpenSsh, SshMatrix};

fn matrix(server: &OpenSsh) -> Result<SshMatrix> {
    let matrix = SshMatrix::new(server.address(), server.host_key(), server.user(), server.password()?);
    Ok(matrix.directory(&server.folder()))
}

#[test]
fn every_client_passes_without_a_gateway() -> Result<()> {
    let server = OpenSsh::start()?;
    let report = matrix(&server)?.run()?;
    assert!(report.passed, "{}\n{}", report.output, server.log());
    assert!(report.output.trim_end().ends_with(" passed, 0 failed"), "{}", report.output);
    assert_eq!(std::fs::read_dir(server.folder())?.count(), 0, "files were left behind");
    Ok(())
}

#[test]
fn what_the_server_refuses_is_expected_or_fails() -> Result<()> {
    let server = OpenSsh::options().config("AllowTcpForwarding no").config("Subsystem sftp /bin/false").start()?;
    let refused = matrix(&server)?.without_sftp().forwarding_refused();
    let report = refused.run()?;
    assert!(report.passed, "{}\n{}", report.output, server.log());

    // A client that gets less than it expects, is let in nowhere, finds another host key or is not there, is not passed
    // over.
    let quick = ["paramiko", "asyncssh", "ssh-go", "plink"];
    let report = matrix(&server)?.clients(&quick).run()?;
    for client in quick {
        for check in ["sftp", "forward"] {
            assert!(report.output.contains(&format!("{client}: FAIL {check}: ")), "{}", report.output);
        }
    }
    let other = OpenSsh::start()?;
    for stranger in [
        SshMatrix::new(server.address(), server.host_key(), server.user(), "wrong"),
        SshMatrix::new(server.address(), other.host_key(), server.user(), server.password()?),
    ] {
        let report = stranger.clients(&quick).run()?;
        assert!(!report.passed && !report.output.contains(": ok exec"), "{}", report.output);
        assert_eq!(report.output.matches("  FAILED").count(), quick.len(), "{}", report.output);
    }
    assert!(!matrix(&server)?.clients(&["no-such-client"]).run()?.passed);
    Ok(())
}
