//! Objects of the Kubernetes API, as policies see them.
use crate::Name;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Labels of an object.
pub type Labels = BTreeMap<Name, Name>;

/// An object of the API, or a collection of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ApiObject {
    /// Its API group; empty for the core group.
    pub group: Name,
    /// Its resource, as in URLs: `deployments`.
    pub resource: Name,
    /// Its namespace; none for objects of the cluster, and for collections across namespaces.
    pub namespace: Option<Name>,
    /// Its name; empty for a collection, and for a name that the cluster is to make up.
    pub name: Name,
    /// Its labels, looked up for the decision; empty for a collection.
    pub labels: Labels,
    /// The labels of its namespace, looked up for the decision.
    pub namespace_labels: Labels,
}

impl ApiObject {
    /// The resource with its group, as in RBAC and `kubectl`: `deployments.apps`, `pods`.
    pub fn kind(&self) -> String {
        if self.group.is_empty() { self.resource.to_string() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// `namespace/resource.group/name`, with `-` for no namespace and `*` for no name.
    pub(crate) fn local_id(&self) -> String {
        let namespace = self.namespace.as_deref().unwrap_or("-");
        format!("{namespace}/{}/{}", self.kind(), if self.name.is_empty() { "*" } else { &self.name })
    }
}

/// Fields that are hidden from whoever may not reveal them without being named anywhere: kind and JSONPath.
pub const SECRET_FIELDS: [(&str, &str); 2] = [("secrets", "$.data[*]"), ("secrets", "$.stringData[*]")];

/// What of a pod matters for safety (Pod Security Standards). Audit logs of earlier versions know less of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct PodSpec {
    /// A container is privileged (`securityContext.privileged`).
    pub privileged: bool,
    /// It shares the network of its node.
    pub host_network: bool,
    /// It shares the processes of its node.
    pub host_pid: bool,
    /// It shares the interprocess communication of its node.
    pub host_ipc: bool,
    /// Folders of its node that it mounts.
    pub host_paths: BTreeSet<Name>,
    /// Ports of its node that it takes.
    pub host_ports: bool,
    /// Capabilities that are added to a container.
    pub capabilities: BTreeSet<Name>,
    /// A container may run as root: nothing says that it does not.
    pub runs_as_root: bool,
    /// The service account whose rights it has.
    pub service_account: Name,
    /// Secrets whose values it gets: in variables, or in files.
    pub secrets: BTreeSet<Name>,
    /// The images of its containers.
    pub images: BTreeSet<Name>,
    /// What its containers run, hooks and probes too: a command line each, as a shell would want it; `?` for what an image
    /// runs by itself.
    pub commands: BTreeSet<Name>,
    /// The programs of these command lines, without their folders.
    pub programs: BTreeSet<Name>,
}

/// A pod, or one that an object would make: a deployment, a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pod {
    /// The pod; in a template its name is that of the object that would make it.
    pub object: ApiObject,
    /// Its specification.
    pub spec: PodSpec,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_earlier_versions_wrote_is_read() {
        let spec: PodSpec = serde_json::from_str("{\"privileged\": true}").unwrap();
        assert!(spec.privileged && spec.commands.is_empty() && spec.programs.is_empty());
    }
}
