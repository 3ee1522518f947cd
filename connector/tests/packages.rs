//! What is published is complete: nothing of it lies outside its package.

use std::path::{Path, PathBuf};

const PUBLISHED: [&str; 4] = ["protocol", "client", "devbroker", "connector"];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the project")
}

/// Every Rust file below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The paths that a source file takes in at compile time, as it writes them.
fn taken_in(text: &str) -> impl Iterator<Item = &str> {
    let macros = ["include_bytes!(", "include_str!(", "include!(", "#[path = "];
    macros.into_iter().flat_map(|start| text.split(start).skip(1)).filter_map(|rest| rest.split('"').nth(1))
}

#[test]
fn no_source_file_takes_in_a_file_from_outside_its_package() {
    for package in PUBLISHED {
        let package = project().join(package);
        for directory in ["src", "examples"].map(|name| package.join(name)).iter().filter(|path| path.exists()) {
            for source in sources(directory) {
                let text = std::fs::read_to_string(&source).expect("a source file");
                for path in taken_in(&text) {
                    let whole = source.parent().expect("a directory").join(path).canonicalize();
                    let whole = whole.unwrap_or_else(|error| panic!("{}: {path}: {error}", source.display()));
                    assert!(whole.starts_with(&package), "{} takes in {}", source.display(), whole.display());
                }
            }
        }
    }
}

#[test]
fn every_published_package_brings_its_licences_its_readme_and_its_description() {
    for package in PUBLISHED {
        let directory = project().join(package);
        for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
            let (ours, theirs) = (project().join(licence), directory.join(licence));
            let read =
                |path: PathBuf| std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(read(ours) == read(theirs), "{package}: {licence} differs from the project's");
        }
        let text = std::fs::read_to_string(directory.join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("TOML");
        let about = manifest["package"].as_table().expect("a package");
        let readme = about["readme"].as_str().expect("a path");
        let name = about["name"].as_str().expect("a name");
        let first = std::fs::read_to_string(directory.join(readme)).expect("a README");
        assert!(first.starts_with(&format!("# {name}\n")), "{package}: its README is another package's");
        assert!(about["description"].as_str().is_some_and(|text| text.len() > 30), "{package}: description");
        // crates.io takes five of each at most.
        for list in ["keywords", "categories"] {
            let many = about[list].as_array().expect("a list").len();
            assert!((1..=5).contains(&many), "{package}: {many} {list}");
        }
        assert!(about.get("publish").is_none(), "{package} is to be published");
    }
}
