//! A real registry for tests: `docker-registry` (Debian's package), with TLS from an authority of its own, and with a password.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Limit for the registry to listen; it takes a tenth of a second.
const DEADLINE: Duration = Duration::from_secs(30);

/// `user:password` as htpasswd keeps it.
const HTPASSWD: &str = "user:$2y$05$xFQoG6SVCrAXgss9zMbHTuKOCSQ7jztaFsII1RDp95XCUWia45Jpe\n";

/// `user:password` in base64.
const AUTH: &str = "dXNlcjpwYXNzd29yZA==";

/// A registry that runs until this is dropped.
pub struct Registry {
    folder: tempfile::TempDir,
    process: Child,
    /// The port that it listens on.
    pub port: u16,
}

/// The first program that such a registry needs and that this machine lacks.
pub fn missing() -> Option<&'static str> {
    let runs = |program: &str| Command::new(program).arg("--help").output().is_ok();
    ["docker-registry", "openssl"].into_iter().find(|program| !runs(program))
}

impl Registry {
    /// Starts a registry at an address; port 0 means a free one. Its certificate is for the name (such as `IP:198.51.100.10` or
    /// `DNS:registry.test`). The command runs its arguments, as `env` does, in the place where the registry must run.
    pub fn start(command: &[&str], address: &str, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let at = |name: &str| folder.path().join(name).display().to_string();
        certify(name, at);
        fs::write(at("htpasswd"), HTPASSWD).expect("it can be written");
        let config = format!(
            "version: 0.1\n\
             storage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             auth: {{ htpasswd: {{ realm: test, path: {} }} }}\n\
             http: {{ addr: '{address}', tls: {{ certificate: {}, key: {} }} }}\n",
            at("data"),
            at("htpasswd"),
            at("own.pem"),
            at("own.key"),
        );
        fs::write(at("config.yml"), config).expect("it can be written");
        let log = fs::File::create(at("log")).expect("it can be made");
        let mut process = Command::new(command[0])
            .args(&command[1..])
            .args(["docker-registry", "serve", &at("config.yml")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("it can be started");
        let port = listening(&at("log"), &mut process);
        Self { folder, process, port }
    }

    /// The path of one of its files, such as `ca.pem`, the authority to trust.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A directory for `DOCKER_CONFIG` with a login at a registry.
    pub fn login(&self, registry: &str) -> PathBuf {
        let folder = self.file("login");
        fs::create_dir_all(&folder).expect("it can be made");
        let kept = format!(r#"{{"auths":{{"{registry}":{{"auth":"{AUTH}"}}}}}}"#);
        fs::write(folder.join("config.json"), kept).expect("it can be written");
        folder
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes an authority and a certificate by it for a name.
fn certify(name: &str, at: impl Fn(&str) -> String) {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().expect("openssl can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = ["-keyout", &at("ca.key"), "-out", &at("ca.pem"), "-days", "2", "-subj", "/CN=authority"];
    openssl(&[&["req", "-x509"], &key[..], &authority].concat());
    openssl(
        &[&["req"], &key[..], &["-keyout", &at("own.key"), "-out", &at("own.csr"), "-subj", "/CN=registry"]]
            .concat(),
    );
    fs::write(at("names"), format!("subjectAltName={name}\n")).expect("it can be written");
    let request = [
        "x509",
        "-req",
        "-in",
        &at("own.csr"),
        "-out",
        &at("own.pem"),
        "-days",
        "2",
        "-extfile",
        &at("names"),
    ];
    openssl(&[&request[..], &["-CA", &at("ca.pem"), "-CAkey", &at("ca.key"), "-CAcreateserial"]].concat());
}

/// Waits until the registry says where it listens, and returns the port.
fn listening(log: &str, process: &mut Child) -> u16 {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let said = fs::read_to_string(log).expect("it can be read");
        let place = said.split("listening on ").nth(1).and_then(|rest| rest.split([',', '"']).next());
        if let Some(port) = place.and_then(|place| place.rsplit(':').next()?.parse().ok()) {
            return port;
        }
        assert!(process.try_wait().expect("it can be asked").is_none(), "the registry ended: {said}");
        assert!(Instant::now() < deadline, "the registry does not listen: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
