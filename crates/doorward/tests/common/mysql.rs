//! A MySQL or MariaDB server, a development issuer and a gateway.
use super::{DOORWARD, Issuer, doorward};
use doorward_testkit::{Gateway, MySql, free_port};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
};

pub struct MySqlWorld {
    pub server: MySql,
    pub gateway: Gateway,
    pub port: u16,
    pub api: u16,
    issuer: Issuer,
}

impl MySqlWorld {
    /// The policies speak of the schema `public`, which is to be the database's name. `connection` goes into the
    /// connection's section of the configuration.
    pub fn over(server: MySql, policy: &str, connection: &str) -> Self {
        let address = server.address().to_string();
        Self::behind(server, &address, policy, connection)
    }

    /// The same, with the server where `upstream` says.
    pub fn behind(server: MySql, upstream: &str, policy: &str, connection: &str) -> Self {
        let issuer = Issuer::start();
        let (port, api) = (free_port().unwrap(), free_port().unwrap());
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
operators = ["dba"]
[[identity.issuers]]
name = "dev"
issuer = "{}"
audience = ["doorward"]
principal = "agent"
[[connections]]
name = "orders"
kind = "mysql"
listen = "127.0.0.1:{port}"
upstream = "{upstream}"
{login}
{connection}
[policy]
files = ["policy.cedar"]
"#,
            issuer.url,
            login = if connection.contains("credential = ") {
                String::new()
            } else {
                format!("user = \"{}\"\ncredential = {{ value = \"{}\" }}", server.user(), server.password())
            },
        );
        let gateway = Gateway::options(&config).program(DOORWARD).file("policy.cedar", policy).start().unwrap();
        Self { server, gateway, port, api, issuer }
    }

    /// The certificate that clients have to trust.
    pub fn ca(&self) -> PathBuf {
        self.gateway.directory().join("state/dev-tls.crt")
    }

    pub fn token(&self, who: &str, groups: &[&str], extra: &[&str]) -> String {
        self.issuer.token(who, groups, extra)
    }

    /// The server's own client, towards the gateway.
    pub fn client(&self, token: &str) -> Command {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut command = Command::new(self.server.client());
        command.args(["--no-defaults", "--default-character-set=utf8mb4", "--protocol=TCP", "--batch"]);
        command.args(["--skip-column-names", "--force", "--user=anybody"]).env("MYSQL_PWD", token);
        command.arg(format!("--host={}", address.ip())).arg(format!("--port={}", address.port()));
        command.arg(format!("--ssl-ca={}", self.ca().display()));
        if self.server.release().is_mariadb() {
            command.arg("--ssl-verify-server-cert");
        } else {
            command.args(["--enable-cleartext-plugin", "--ssl-mode=VERIFY_IDENTITY"]);
        }
        command.arg("public");
        command
    }

    /// What the client says to one text, output and errors.
    pub fn run(&self, token: &str, sql: &str) -> String {
        let out = self.client(token).args(["-e", sql]).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    }

    pub fn doorward(&self, token: &str, args: &[&str]) -> (bool, String) {
        doorward(&self.gateway.directory().join("state"), self.api, token, args)
    }
}
