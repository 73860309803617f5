//! Promise: with the shipped manifests, proxies reach the service over IPv4 and IPv6, and each role
//! has its own API token.
//! Method: the tests read every YAML file below `envoy/` and `examples/`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

/// Returns the name and the documents of every shipped YAML file.
fn manifests() -> Vec<(String, Vec<Value>)> {
    let mut folders = vec![root().join("envoy"), root().join("examples")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|extension| extension.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("yaml" | "yml") => files.push(path),
                _ => {}
            }
        }
    }
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let documents = serde_saphyr::from_multiple(&fs::read_to_string(&path).unwrap());
        (name.clone(), documents.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    files.into_iter().map(read).collect()
}

/// Returns every object in the value, including the value itself.
fn objects(value: &Value) -> Vec<&Value> {
    let mut found = vec![value];
    let mut next = 0;
    while let Some(value) = found.get(next).copied() {
        next += 1;
        match value {
            Value::Object(members) => found.extend(members.values()),
            Value::Array(items) => found.extend(items),
            _ => {}
        }
    }
    found.retain(|value| value.is_object());
    found
}

/// Returns the number of clusters with DNS names, and the names of those without `V4_PREFERRED`.
fn clusters_without_family(documents: &[Value]) -> (usize, Vec<String>) {
    let all = documents.iter().flat_map(objects);
    let named: Vec<_> = all
        .filter(|it| matches!(it["type"].as_str(), Some("STRICT_DNS" | "LOGICAL_DNS")))
        .collect();
    let bad = named.iter().filter(|cluster| cluster["dns_lookup_family"] != "V4_PREFERRED");
    (named.len(), bad.map(|cluster| cluster["name"].to_string()).collect())
}

#[test]
fn every_cluster_with_a_dns_name_prefers_ipv4() {
    let mut count = 0;
    for (name, documents) in manifests() {
        let (clusters, bad) = clusters_without_family(&documents);
        assert!(bad.is_empty(), "{name}: {bad:?} lack dns_lookup_family: V4_PREFERRED");
        count += clusters;
    }
    assert!(count >= 3, "{count}");
}

#[test]
fn a_cluster_that_lacks_the_family_is_found() {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple("clusters: [{name: a, type: STRICT_DNS}]").unwrap();
    assert_eq!(clusters_without_family(&documents), (1, vec!["\"a\"".to_owned()]));
}

/// Environment variables of each container in Kubernetes' manifests, with the key of their Secret.
fn variables(documents: &[Value]) -> Vec<(String, Vec<(String, String)>)> {
    let containers = documents.iter().flat_map(objects).filter(|it| it["env"].is_array());
    containers
        .map(|container| {
            let variables = container["env"].as_array().unwrap().iter();
            let pair = |variable: &Value| {
                let key = &variable["valueFrom"]["secretKeyRef"]["key"];
                (text(&variable["name"]), text(key))
            };
            (text(&container["name"]), variables.map(pair).collect())
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn only_the_service_has_the_operators_tokens() {
    let (mut services, mut proxies) = (0, 0);
    for (name, documents) in manifests().iter().filter(|(name, _)| name.starts_with("envoy/")) {
        for (container, variables) in variables(documents) {
            let has = |wanted: &str| variables.iter().any(|(name, _)| name == wanted);
            if container == "signout" {
                services += 1;
                for wanted in ["OPERATOR_TOKEN", "PROXY_TOKENS", "SIGNOUT_ADMIN_TOKEN"] {
                    assert!(has(wanted), "{name}: {wanted}");
                }
                continue;
            }
            proxies += usize::from(has("SIGNOUT_TOKEN"));
            for (variable, key) in &variables {
                let text = format!("{variable} {key}");
                let is_operators = text.contains("ADMIN") || text.contains("OPERATOR");
                assert!(!is_operators, "{name}: {container} has {variable}");
            }
        }
    }
    assert!(services >= 1 && proxies >= 3, "{services} {proxies}");
}

#[test]
fn in_compose_only_the_service_mounts_the_operators_tokens() {
    for (name, documents) in manifests() {
        for services in documents.iter().map(|document| &document["services"]) {
            for (service, settings) in services.as_object().into_iter().flatten() {
                let mounts = settings["volumes"].to_string().contains("service-secrets");
                let may = ["signout", "secrets"].contains(&service.as_str());
                assert!(may || !mounts, "{name}: {service}");
            }
        }
    }
}

/// The command at the top of each generated policy names its file and all its options.
#[test]
fn policies_for_istio_are_generated_from_the_routes() {
    for (variant, arguments) in [
        (
            "gateway",
            "--name application --namespace default --selector app=application \
             --principal cluster.local/ns/session-guard/sa/edge",
        ),
        ("sidecar", "--name application --namespace default --selector app=application"),
        ("waypoint", "--name application-users --namespace default --target Service/application"),
    ] {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_signout"))
            .args(["check", "envoy/istio/base/plugin.yaml", "--authorization-policy"])
            .args(arguments.split(' '))
            .current_dir(root())
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let policy = String::from_utf8(run.stdout).unwrap();
        let file = root().join(format!("envoy/istio/{variant}/policy.yaml"));
        if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
            fs::write(&file, &policy).unwrap();
        }
        let known = fs::read_to_string(&file).unwrap_or_default();
        let update = "UPDATE_DOCUMENTS=1 cargo test -p signout --test manifests";
        assert_eq!(known, policy, "{}: run {update}", file.display());
    }
}
