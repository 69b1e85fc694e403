//! Manifests that run flowproof inside a cluster, for `kubectl apply`: a service account with the `ClusterRole`, and a Job.

use super::CLUSTER_ROLE;

/// A Job that runs flowproof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    /// The image of the runner.
    pub image: String,
    /// When nodes pull it (`imagePullPolicy`).
    pub pull_policy: String,
    /// A pull secret in the Job's namespace.
    pub pull_secret: Option<String>,
    /// The arguments of flowproof, the command first.
    pub arguments: Vec<String>,
}

/// The namespace, the service account `flowproof`, the `ClusterRole` and its binding. The namespace is a DNS label.
pub fn rbac(namespace: &str) -> String {
    // The comment at the top of the role says how to bind it, which is done here.
    let role = CLUSTER_ROLE.lines().skip_while(|line| line.starts_with('#'));
    let role: String = role.flat_map(|line| [line, "\n"]).collect();
    format!(
        "\
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: flowproof
  namespace: {namespace}
---
{role}---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: flowproof-{namespace}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: flowproof
subjects:
  - kind: ServiceAccount
    name: flowproof
    namespace: {namespace}
"
    )
}

/// All of [`rbac`], and a Job that runs once, under the Pod Security level restricted.
///
/// The user is that of the image or, on `OpenShift`, what the cluster chooses. Its exit code is that of the pod.
pub fn job(namespace: &str, spec: &JobSpec) -> String {
    let secrets = match &spec.pull_secret {
        Some(name) => format!("      imagePullSecrets: [{{ name: {} }}]\n", quoted(name)),
        None => String::new(),
    };
    // The kubelet expands `$(NAME)` in arguments.
    let arguments = spec.arguments.iter().map(|argument| quoted(&argument.replace("$(", "$$(")));
    let arguments = arguments.collect::<Vec<_>>().join(", ");
    let (image, pull_policy) = (quoted(&spec.image), &spec.pull_policy);
    let rbac = rbac(namespace);
    format!(
        "\
{rbac}---
apiVersion: batch/v1
kind: Job
metadata:
  name: flowproof
  namespace: {namespace}
spec:
  backoffLimit: 0 # a second attempt could hide what the first one found
  template:
    metadata:
      labels:
        app.kubernetes.io/name: flowproof
        sidecar.istio.io/inject: \"false\"
    spec:
      serviceAccountName: flowproof
      restartPolicy: Never
      terminationGracePeriodSeconds: 120 # to remove what a run has created
{secrets}      securityContext:
        runAsNonRoot: true
        seccompProfile: {{ type: RuntimeDefault }}
      containers:
        - name: flowproof
          image: {image}
          imagePullPolicy: {pull_policy}
          args: [{arguments}]
          terminationMessagePolicy: FallbackToLogsOnError
          resources:
            requests: {{ cpu: 250m, memory: 128Mi }}
            limits: {{ memory: 1Gi }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{ drop: [ALL] }}
"
    )
}

/// A text as a scalar of YAML; a JSON string is one.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is valid JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::{
        api::{
            batch::v1::Job,
            core::v1::ServiceAccount,
            rbac::v1::{ClusterRole, ClusterRoleBinding},
        },
        serde::de::DeserializeOwned,
    };

    fn documents(text: &str) -> Vec<&str> {
        text.split("---\n").collect()
    }

    fn read<T: DeserializeOwned>(document: &str) -> T {
        serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}"))
    }

    #[test]
    fn the_service_account_is_bound_to_the_role() {
        let text = rbac("somewhere");
        let documents = documents(&text);
        assert_eq!(documents.len(), 4, "{text}");
        let account: ServiceAccount = read(documents[1]);
        let role: ClusterRole = read(documents[2]);
        let binding: ClusterRoleBinding = read(documents[3]);
        let whole: ClusterRole = read(CLUSTER_ROLE);
        assert_eq!(role, whole);
        assert!(!documents[2].contains("create clusterrolebinding"), "it is bound already");
        assert_eq!(Some(&binding.role_ref.name), role.metadata.name.as_ref());
        let subject = &binding.subjects.expect("a subject")[0];
        assert_eq!(Some(&subject.name), account.metadata.name.as_ref());
        assert_eq!(subject.namespace, account.metadata.namespace);
    }

    #[test]
    fn the_job_runs_the_arguments_as_they_are_under_restricted() {
        let arguments = ["check", "--filter", "two \"words\": #1", "$(HOME)"].map(str::to_owned).to_vec();
        let spec = JobSpec {
            image: "registry.example/flowproof@sha256:0".into(),
            pull_policy: "Always".into(),
            pull_secret: Some("registry".into()),
            arguments,
        };
        let text = job("somewhere", &spec);
        let job: Job = read(documents(&text)[4]);
        let job = job.spec.expect("a spec");
        assert_eq!(job.backoff_limit, Some(0));
        let pod = job.template.spec.expect("a pod");
        assert_eq!(pod.service_account_name.as_deref(), Some("flowproof"));
        assert_eq!(pod.image_pull_secrets.expect("secrets")[0].name, "registry");
        let security = pod.security_context.expect("a context");
        assert_eq!(security.run_as_non_root, Some(true));
        assert_eq!(security.seccomp_profile.expect("a profile").type_, "RuntimeDefault");
        let container = &pod.containers[0];
        let expected = ["check", "--filter", "two \"words\": #1", "$$(HOME)"];
        assert_eq!(container.args.as_deref(), Some(&expected.map(str::to_owned)[..]));
        let security = container.security_context.as_ref().expect("a context");
        assert_eq!(security.allow_privilege_escalation, Some(false));
        let capabilities = security.capabilities.as_ref().expect("capabilities");
        assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]));
    }
}
