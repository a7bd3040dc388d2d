//! A catalogue gives the results that the repository gives, from one file.

use std::fs;
use std::path::Path;
use std::process::Command;

use d1oci_tests::{Outcome, bare_d1oci, peer, run, samples};
use serde_json::Value;

/// Returns the directory of the project.
fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs d1oci with a home directory of its own.
fn d1oci(home: &Path, arguments: &[&str]) -> Outcome {
    run(bare_d1oci(home).args(arguments))
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    d1oci(home, &[arguments, &["--format", "json"]].concat()).success().json()
}

/// Pushes packages of one file.
fn push(home: &Path, store: &str, identifier: &str, content: &str, annotations: &[&str]) {
    let folder = home.join("p");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("data.csv"), content).unwrap();
    let reference = format!("oci:{store}:{identifier}");
    let mut arguments = vec!["push", &reference, "p", "--id", identifier];
    for annotation in annotations {
        arguments.extend(["--annotation", annotation]);
    }
    d1oci(home, &arguments).success();
}

fn three(home: &Path, store: &str) {
    push(home, store, "v1", "1", &["org.opencontainers.image.description=Snow in the Alps"]);
    push(home, store, "v2", "2", &["org.dataone.obsoletes=v1", "org.dataone.series-id=sid"]);
    push(home, store, "other", "3", &["org.opencontainers.image.description=Sea ice"]);
}

#[test]
fn every_search_gives_the_same_with_and_without_a_catalogue() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    three(home, "store");
    let digest = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
    let hash = digest.replace("sha256:", "hash://sha256/");
    let searches: [&[&str]; 8] = [
        &["find", "oci:store"],
        &["find", "oci:store", "--id", "sid"],
        &["find", "oci:store", "--title", "SNOW"],
        &["find", "oci:store", "--checksum", digest],
        &["find", "oci:store", "--hash", &hash],
        &["history", "oci:store", "--id", "v1"],
        &["history", "oci:store:v2"],
        &["inspect", "oci:store", "--id", "sid"],
    ];
    let without: Vec<_> =
        searches.iter().map(|search| json(home, &[*search, &["--no-catalog"]].concat())).collect();
    assert_eq!(without[3], without[4]);
    assert_eq!(without[3]["found"][0]["identifier"], "v1");
    let updated = json(home, &["catalog", "update", "oci:store"]);
    assert_eq!(updated["updated"][0]["added"], 3, "{updated}");
    for (search, without) in searches.iter().zip(without) {
        assert_eq!(json(home, search), without, "{search:?}");
    }
    // The catalogue follows a change before it answers.
    push(home, "store", "late", "4", &[]);
    let found = json(home, &["find", "oci:store", "--id", "late"]);
    assert_eq!(found["found"][0]["tag"], "late");
    assert_eq!(
        json(home, &["catalog", "status", "oci:store"])["catalogs"][0]["repositories"][0]["packages"],
        4
    );
    d1oci(home, &["find", "oci:store", "--id", "nothing"]).failure(3);
}

#[test]
fn words_of_metadata_build_a_catalogue_and_find() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    three(home, "store");
    let found = json(home, &["find", "oci:store", "--text", "ice -snow"]);
    assert_eq!((found["found"].as_array().unwrap().len(), &found["found"][0]["tag"]), (1, &"other".into()));
    d1oci(home, &["find", "oci:store", "--text", "ice", "--no-catalog"]).failure(2);
    d1oci(home, &["find", "oci:store", "--bbox", "1,2,3"]).failure(2);
    d1oci(home, &["find", "oci:store", "--between", "soon,later"]).failure(2);
    d1oci(home, &["find", "oci:store", "--checksum", "md5:12"]).failure(2);
    d1oci(home, &["find", "oci:store", "--text", "glacier"]).failure(3);
    let Some(samples) = samples() else { return };
    let package = samples.join("dataone/pkg-peggym133");
    d1oci(home, &["push", "oci:store:park", package.to_str().unwrap(), "--include-private"]).success();
    for search in [
        &["--text", "giraffa"][..],
        &["giraffa"],
        &["--title", "augrabies census"],
        &["--creator", "freeman"],
        &["--bbox", "-121,25,-119,27"],
        &["--text", "census", "--between", "1990-01-01,"],
    ] {
        let found = json(home, &[&["find", "oci:store"], search].concat());
        assert_eq!(found["found"][0]["identifier"], "peggym.133.1", "{search:?}: {found}");
    }
}

#[test]
fn a_published_catalogue_is_where_readers_start() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    three(home, "store");
    d1oci(home, &["catalog", "publish", "oci:store"]).success();
    assert_eq!(json(home, &["catalog", "drop", "oci:store"])["dropped"][0]["dropped"], true);
    let updated = json(home, &["catalog", "update", "oci:store"]);
    // The published catalogue does not know itself.
    assert_eq!(
        (&updated["updated"][0]["added"], &updated["updated"][0]["unchanged"]),
        (&1.into(), &3.into())
    );
    assert_eq!(json(home, &["find", "oci:store", "--text", "ice"])["found"][0]["tag"], "other");
    d1oci(home, &["catalog", "drop", "oci:store"]).success();
    let updated = json(home, &["catalog", "update", "oci:store", "--no-published"]);
    assert_eq!(updated["updated"][0]["added"], 4);

    // Whatever else has the tag is a warning or no catalogue, and everything is read.
    fs::write(home.join("d1-catalog.sqlite3.gz"), "not gzip").unwrap();
    let kind = "application/vnd.dataone.catalog.v1.sqlite3+gzip";
    let file = format!("d1-catalog.sqlite3.gz:{kind}");
    d1oci(home, &["push", "oci:store:d1-catalog", &file, "--artifact-type", kind]).success();
    d1oci(home, &["catalog", "drop", "oci:store"]).success();
    let outcome = d1oci(home, &["catalog", "update", "oci:store"]).success();
    assert!(outcome.stderr.contains("the published catalogue is invalid"), "{}", outcome.stderr);
}

#[test]
fn a_damaged_catalogue_is_replaced_in_the_cache_and_refused_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    three(home, "store");
    let updated = json(home, &["catalog", "update", "oci:store"]);
    let path = Path::new(updated["updated"][0]["catalog"].as_str().unwrap());
    assert!(path.starts_with(home.join(".cache/d1oci/catalogs")), "{}", path.display());
    fs::write(path, "damaged ".repeat(100)).unwrap();
    let outcome = d1oci(home, &["find", "oci:store", "--id", "v1"]).success();
    assert!(outcome.stderr.contains("the catalogue is not used"), "{}", outcome.stderr);
    assert_eq!(json(home, &["catalog", "update", "oci:store"])["updated"][0]["added"], 3);

    fs::write(home.join("text"), "damaged ".repeat(100)).unwrap();
    d1oci(home, &["catalog", "update", "oci:store", "--catalog", "text"]).failure(2);
    assert!(fs::read_to_string(home.join("text")).unwrap().starts_with("damaged damaged"));
}

#[test]
fn processes_share_a_catalogue() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    three(home, "one");
    three(home, "two");
    let start = |store: &str| {
        bare_d1oci(home).args(["catalog", "update", store, "--catalog", "both.sqlite3"]).spawn().unwrap()
    };
    let running: Vec<_> = ["oci:one", "oci:two", "oci:one", "oci:two"].into_iter().map(start).collect();
    for mut process in running {
        assert!(process.wait().unwrap().success());
    }
    let status = json(home, &["catalog", "status", "--catalog", "both.sqlite3"]);
    let repositories = status["catalogs"][0]["repositories"].as_array().unwrap();
    assert_eq!(repositories.len(), 2, "{status}");
    assert!(repositories.iter().all(|repository| repository["packages"] == 3), "{status}");
}

#[test]
fn duckdb_reads_the_export_of_three_repositories() {
    let (Some(duckdb), Some(samples)) = (peer("duckdb"), samples()) else { return };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for store in ["arctic", "tundra", "ocean"] {
        three(home, store);
        let (reference, package) = (format!("oci:{store}:park"), samples.join("dataone/pkg-peggym133"));
        d1oci(home, &["push", &reference, package.to_str().unwrap(), "--include-private"]).success();
        let repository = format!("oci:{store}");
        d1oci(home, &["catalog", "update", &repository, "--catalog", "holdings.sqlite3"]).success();
    }
    let export = |form: &str| {
        let arguments =
            ["catalog", "export", "--catalog", "holdings.sqlite3", "--output", "tables", "--form", form];
        d1oci(home, &arguments).success();
    };
    export("csv");
    export("jsonl");
    export("parquet");
    let query = |sql: &str| {
        let outcome =
            run(Command::new(&duckdb).args(["-csv", "-noheader", "-c", sql]).current_dir(home)).success();
        outcome.text().trim().replace('\r', "")
    };
    let count = "SELECT count(*), count(DISTINCT repository), sum(files) FROM 'tables/packages.csv'";
    assert_eq!(query(count), "12,3,27");
    assert_eq!(query(&count.replace("csv", "jsonl")), "12,3,27");
    assert_eq!(query(&count.replace("csv", "parquet")), "12,3,27");
    let titles = "SELECT title, count(*) FROM 'tables/documents.csv' WHERE title LIKE '%ice%' GROUP BY title";
    assert_eq!(query(titles).replace('"', ""), "Sea ice,3");
    assert_eq!(
        query("SELECT count(*) FROM 'tables/documents.jsonl' WHERE metadata.title LIKE '%Alps%'"),
        "3"
    );
    let shared = "SELECT sha256, count(DISTINCT repository) FROM 'tables/files.csv' WHERE path = 'data.csv' GROUP BY sha256";
    assert_eq!(query(shared).lines().filter(|line| line.ends_with(",3")).count(), 3);
    let document = fs::read_to_string(workspace().join("docs/catalogue.md")).unwrap();
    let examples: Vec<_> =
        document.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 3);
    let found = query(examples[0]);
    assert!(found.lines().any(|line| line == "peggym.133.1,3"), "{found}");
    assert!(found.lines().any(|line| line.starts_with("text/csv,1,4")), "{found}");
    query(examples[1]);
    // A file of Parquet for each repository, all read at once.
    for store in ["arctic", "tundra", "ocean"] {
        let repository = format!("oci:{store}");
        d1oci(home, &["catalog", "update", &repository]).success();
        let arguments = ["catalog", "export", &repository, "--output", store, "--form", "parquet"];
        d1oci(home, &arguments).success();
    }
    let found = query(examples[2]);
    assert_eq!(found.lines().collect::<Vec<_>>(), ["2011,3,9"], "{found}");
}
