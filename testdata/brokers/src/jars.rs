//! The class path of a release: fetched from Maven once, then kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Error, Release, run};

/// The name that the ZooKeeper of releases before 3.0 has to be lifted to: the 3.4 that they ask for cannot resolve
/// 127.0.0.1 on Java 14 and later.
const ZOOKEEPER: &str = "3.5.10";

/// The directory with the jars of a release, fetched if they are not there. Processes wait for each other.
pub(crate) fn directory(release: &Release) -> Result<PathBuf, Error> {
    let root = root();
    let jars = root.join(release.to_string());
    if jars.is_dir() {
        return Ok(jars);
    }
    fs::create_dir_all(&root).map_err(Error::file(&root))?;
    let lock_path = root.join(format!("{release}.lock"));
    let lock = File::create(&lock_path).map_err(Error::file(&lock_path))?;
    lock.lock().map_err(Error::file(&lock_path))?;
    if !jars.is_dir() {
        fetch(release, &root, &jars)?;
    }
    Ok(jars)
}

/// Whether one of Kafka's own jars holds this class. A jar's directory names its entries uncompressed.
pub(crate) fn has_class(jars: &Path, class: &str) -> bool {
    let entry = format!("{}.class", class.replace('.', "/"));
    let Ok(files) = fs::read_dir(jars) else { return false };
    let mut own = files
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kafka")));
    own.any(|path| fs::read(path).is_ok_and(|bytes| contains(&bytes, entry.as_bytes())))
}

/// Whether `part` occurs and is not the end of a longer path.
fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len() + 1).any(|window| window[0] != b'/' && &window[1..] == part)
}

fn root() -> PathBuf {
    if let Some(given) = std::env::var_os("OTTLA_KAFKA_JARS") {
        return given.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    target.unwrap_or_else(|| workspace.join("target")).join("kafka-jars")
}

fn fetch(release: &Release, root: &Path, jars: &Path) -> Result<(), Error> {
    let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(root).map_err(Error::file(root))?;
    let pom = work.path().join("pom.xml");
    fs::write(&pom, project(release)).map_err(Error::file(&pom))?;
    let out = work.path().join("jars");
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", out.display())).arg("-DincludeScope=runtime");
    run(&mut maven, &[], Duration::from_mins(10))?.success()?;
    fs::rename(&out, jars).map_err(Error::file(jars))
}

fn project(release: &Release) -> String {
    let managed = if release.at_least(3, 0) {
        String::new()
    } else {
        let zookeeper = dependency("org.apache.zookeeper", "zookeeper", ZOOKEEPER);
        format!("<dependencyManagement><dependencies>{zookeeper}</dependencies></dependencyManagement>")
    };
    let dependencies: String =
        release.artifacts().iter().map(|(group, name, version)| dependency(group, name, version)).collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>ottla</groupId><artifactId>kafka</artifactId>\
         <version>1</version>{managed}<dependencies>{dependencies}</dependencies></project>\n"
    )
}

fn dependency(group: &str, name: &str, version: &str) -> String {
    format!(
        "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zookeeper_is_lifted_exactly_where_the_release_names_an_old_one() {
        for (release, lifted) in [("0.11.0.3", true), ("2.8.2", true), ("3.9.1", false), ("4.3.1", false)] {
            let pom = project(&release.parse().expect("a release"));
            assert_eq!(pom.contains(ZOOKEEPER), lifted, "{release}");
        }
    }
}
