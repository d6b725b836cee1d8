//! The jars of a Kafka broker, through Maven, below the build outputs. What runs them is a test.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::setup::{self, SetupArgs};
use crate::shell;

/// The broker that the tests run.
const VERSION: &str = "4.1.0";

/// A project of nothing but the broker, for Maven to find what it needs.
fn project() -> String {
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n\
         <modelVersion>4.0.0</modelVersion>\n\
         <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>\n\
         <dependencies><dependency>\n\
         <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>\n\
         </dependency></dependencies>\n\
         </project>\n"
    )
}

/// The folder with the jars; fetches them where they are missing.
///
/// # Errors
/// When Java, Maven or the client that the tests send with is missing and may not or cannot be installed, or Maven fails.
pub(crate) fn jars(setup: SetupArgs) -> Result<PathBuf> {
    setup::ensure(setup::KAFKA, setup)?;
    let dir = shell::target_dir().join("kafka").join(VERSION);
    let jars = dir.join("lib");
    // Written when all of them were there.
    let complete = dir.join("complete");
    if complete.is_file() {
        return Ok(jars);
    }
    anyhow::ensure!(
        !setup.no_setup,
        "Kafka {VERSION} is not in {}; --no-setup forbids fetching it",
        jars.display()
    );
    println!(
        "Fetching Kafka {VERSION} with Maven, about 43 MB, into {}",
        jars.display()
    );
    fs::create_dir_all(&jars).with_context(|| format!("cannot make {}", jars.display()))?;
    let pom = dir.join("pom.xml");
    fs::write(&pom, project()).with_context(|| format!("cannot write {}", pom.display()))?;
    let mut maven = shell::command("mvn");
    maven
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", jars.display()));
    shell::run(&mut maven)?;
    fs::write(&complete, VERSION).with_context(|| format!("cannot write {}", complete.display()))?;
    Ok(jars)
}
