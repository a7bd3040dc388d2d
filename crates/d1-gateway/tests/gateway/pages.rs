//! Pages for people: their content, their bounds, parts of tables, comparisons, proofs, and hostile packages.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use d1_model::ChecksumAlgorithm;
use d1_testnode::{Catalog, Content, Package, StoredObject};
use serde_json::Value;

use crate::support::*;

/// The key of the newer version of the rich package.
const RICH: &str = "doi_10.5072_RICH2.map";
const OLD: &str = "doi_10.5072_RICH1.map";

fn put(catalog: &mut Catalog, identifier: &str, format: &str, name: &str, bytes: Vec<u8>) {
    let content = Content::Memory(bytes.into());
    let object =
        StoredObject::with_algorithm(id(identifier), format, content, &ChecksumAlgorithm::Sha1).unwrap();
    catalog.put(object.edited(|meta| meta.file_name = Some(name.to_owned()))).unwrap();
}

fn put_metadata(catalog: &mut Catalog, name: &str, data: &[&str], obsoletes: Option<&str>, dataset: &str) {
    let text = format!(
        "<eml:eml xmlns:eml=\"{EML}\" packageId=\"{name}\" system=\"test\"><dataset>{dataset}</dataset></eml:eml>\n"
    );
    let metadata = StoredObject::new(id(name), EML, Content::text(&text)).unwrap();
    catalog.put(metadata.edited(|meta| meta.obsoletes = obsoletes.map(id))).unwrap();
    let mut package = Package::new(id(&format!("{name}.map")), id(name), data.iter().map(|pid| id(pid)));
    package.obsoletes = obsoletes.map(|before| id(&format!("{before}.map")));
    catalog.put_package(&package).unwrap();
}

/// Adds statements to a map: a run of a program made the picture from the table, and the log came from an object that is not here.
fn state_provenance(catalog: &mut Catalog, map: &str) {
    let stored = StoredObject::clone(catalog.get(&id(map)).unwrap());
    let at = |pid: &str| format!("https://cn.dataone.org/cn/v2/resolve/{pid}");
    let statements = format!(
        "<rdf:Description rdf:about=\"{}\" xmlns:prov=\"http://www.w3.org/ns/prov#\"><prov:wasGeneratedBy rdf:resource=\"urn:uuid:r\"/>\
         </rdf:Description><rdf:Description rdf:about=\"urn:uuid:r\" xmlns:prov=\"http://www.w3.org/ns/prov#\">\
         <prov:used rdf:resource=\"{}\"/></rdf:Description><rdf:Description rdf:about=\"{}\" \
         xmlns:prov=\"http://www.w3.org/ns/prov#\"><prov:wasDerivedFrom rdf:resource=\"{}\"/></rdf:Description></rdf:RDF>",
        at("rich.picture"),
        at("rich2.table"),
        at("rich.text"),
        at("elsewhere%3C1%3E"),
    );
    let text = String::from_utf8(stored.content().bytes().unwrap().to_vec()).unwrap();
    let content = Content::text(&text.replace("</rdf:RDF>", &statements));
    let meta = stored.system_metadata().clone();
    let object = StoredObject::new(id(map), &meta.format_id, content).unwrap();
    catalog.put(object.edited(|fresh| fresh.obsoletes = meta.obsoletes)).unwrap();
}

/// Returns a table of temperatures, one for each hour of some days. `shift` changes one of the values.
fn hours(count: usize, shift: f64) -> Vec<u8> {
    let mut text = "time,temp_c,depth,site\n".to_owned();
    for hour in 0..count {
        let (day, hour_of_day) = (hour / 24 % 28 + 1, hour % 24);
        let month = hour / 24 / 28 % 12 + 1;
        let angle = f64::from(u32::try_from(hour).unwrap()) / 700.0;
        let value = 10.0 + 5.0 * angle.sin() + if hour == 7 { shift } else { 0.0 };
        let shown = if hour == 3 { "-9999".to_owned() } else { format!("{value:.3}") };
        let site = ["north", "south"][hour % 2];
        text += &format!("2023-{month:02}-{day:02} {hour_of_day:02}:00:00,{shown},{},{site}\n", hour % 5);
    }
    text.into_bytes()
}

fn small_zip() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("inside/readme.txt", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(b"text").unwrap();
    writer.finish().unwrap().into_inner()
}

/// Returns a NetCDF file in the classic format: one variable along one dimension without a limit, and two records.
fn small_netcdf() -> Vec<u8> {
    let word = |number: u32| number.to_be_bytes().to_vec();
    let text = |text: &str| {
        let mut bytes = word(u32::try_from(text.len()).unwrap());
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let attribute = |name: &str, value: &str| [text(name), word(2), text(value)].concat();
    let head = [
        [b"CDF\x01".to_vec(), word(2), word(10), word(1), text("time"), word(0)].concat(),
        [word(12), word(1), attribute("title", "Air over <b>the fjord</b>")].concat(),
        [word(11), word(1), text("air_temp"), word(1), word(0), word(12), word(2)].concat(),
        [attribute("units", "degree_Celsius"), attribute("long_name", "Temperature of the air")].concat(),
        [word(6), word(8)].concat(),
    ]
    .concat();
    let begin = word(u32::try_from(head.len() + 4).unwrap());
    [head, begin, 4.5_f64.to_be_bytes().to_vec(), 5.25_f64.to_be_bytes().to_vec()].concat()
}

/// A picture of one pixel.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

fn pixel() -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(PIXEL).unwrap()
}

const TABLE: &str = "<dataTable id=\"rich2-table\"><entityName>Hourly temperatures</entityName>\
  <entityDescription>Temperature of the water, every hour.</entityDescription>\
  <physical><objectName>hours.csv</objectName><dataFormat><textFormat><numHeaderLines>1</numHeaderLines>\
  <simpleDelimited><fieldDelimiter>,</fieldDelimiter></simpleDelimited></textFormat></dataFormat></physical>\
  <attributeList>\
  <attribute><attributeName>time</attributeName><attributeDefinition>Time, UTC</attributeDefinition>\
    <measurementScale><dateTime><formatString>YYYY-MM-DD hh:mm:ss</formatString></dateTime></measurementScale></attribute>\
  <attribute><attributeName>temp_c</attributeName><attributeDefinition>Temperature of the water</attributeDefinition>\
    <measurementScale><interval><unit><standardUnit>celsius</standardUnit></unit><numericDomain><numberType>real</numberType>\
    <bounds><minimum>-2</minimum><maximum>30</maximum></bounds></numericDomain></interval></measurementScale>\
    <missingValueCode><code>-9999</code><codeExplanation>broken</codeExplanation></missingValueCode></attribute>\
  <attribute><attributeName>depth</attributeName><attributeDefinition>Depth</attributeDefinition>\
    <measurementScale><ratio><unit><standardUnit>meter</standardUnit></unit><numericDomain><numberType>whole</numberType>\
    </numericDomain></ratio></measurementScale></attribute>\
  <attribute><attributeName>site</attributeName><attributeDefinition>Site</attributeDefinition>\
    <measurementScale><nominal><nonNumericDomain><enumeratedDomain><codeDefinition><code>north</code><definition>N</definition>\
    </codeDefinition><codeDefinition><code>south</code><definition>S</definition></codeDefinition></enumeratedDomain>\
    </nonNumericDomain></nominal></measurementScale></attribute>\
  </attributeList><numberOfRecords>3000</numberOfRecords></dataTable>";

const ABOUT: &str = "<title>Mooring temperatures of a fjord — façade &amp; \"quotes\"</title>\
  <creator><individualName><givenName>Ada</givenName><surName>Fjord</surName></individualName>\
  <organizationName>Institute of Fjords</organizationName>\
  <userId directory=\"https://orcid.org\">https://orcid.org/0000-0002-1825-0097</userId></creator>\
  <creator><organizationName>Station Brønnøysund</organizationName></creator><pubDate>2024-05-06</pubDate>\
  <abstract><para>Hourly temperatures of a mooring in a fjord, with notes, a picture and an archive.</para>\
  <para>The second paragraph.</para></abstract>\
  <keywordSet><keyword>ocean</keyword><keyword>temperature</keyword></keywordSet>\
  <licensed><licenseName>Creative Commons Attribution 4.0</licenseName><url>https://creativecommons.org/licenses/by/4.0/</url></licensed>\
  <coverage><geographicCoverage><geographicDescription>Outer fjord</geographicDescription><boundingCoordinates>\
  <westBoundingCoordinate>11.5</westBoundingCoordinate><eastBoundingCoordinate>12.5</eastBoundingCoordinate>\
  <northBoundingCoordinate>65.9</northBoundingCoordinate><southBoundingCoordinate>65.2</southBoundingCoordinate>\
  </boundingCoordinates></geographicCoverage><temporalCoverage><rangeOfDates><beginDate><calendarDate>2023-01-01</calendarDate>\
  </beginDate><endDate><calendarDate>2023-12-28</calendarDate></endDate></rangeOfDates></temporalCoverage>\
  <taxonomicCoverage><taxonomicClassification><taxonRankName>Species</taxonRankName><taxonRankValue>Gadus morhua</taxonRankValue>\
  <commonName>cod</commonName></taxonomicClassification></taxonomicCoverage></coverage>\
  <methods><methodStep><description><para>A thermistor chain was moored.</para></description></methodStep></methods>\
  <project><title>P</title><personnel/><award><funderName>Research Council</funderName><awardNumber>12</awardNumber>\
  <title>Fjords</title></award></project>";

/// Returns a gateway to two versions of a package with files of every kind, and to a hostile one.
pub(crate) async fn rich() -> Served {
    let mut catalog = Catalog::default();
    put(&mut catalog, "rich1.table", "text/csv", "hours.csv", hours(3000, 0.0));
    put(&mut catalog, "rich1.gone", "text/csv", "gone.csv", b"a,b\n1,2\n".to_vec());
    put(&mut catalog, "rich2.table", "text/csv", "hours.csv", hours(3000, 1.0));
    put(
        &mut catalog,
        "rich.notes",
        "text/markdown",
        "notes.md",
        b"# Notes\n\nSee [the site](https://example.org/).\n\n| a | b |\n|---|---|\n| 1 | 2 |\n".to_vec(),
    );
    put(&mut catalog, "rich.text", "text/plain", "log.txt", b"first line\nsecond line\n".to_vec());
    put(&mut catalog, "rich.picture", "image/png", "picture.png", pixel());
    put(&mut catalog, "rich.zip", "application/zip", "bundle.zip", small_zip());
    put(&mut catalog, "rich.bytes", "application/octet-stream", "raw.bin", (0..=255).collect());
    put(&mut catalog, "rich.json", "application/json", "facts.json", b"{\"a\":[1,2,{\"b\":null}]}".to_vec());
    put(&mut catalog, "rich.air", "netCDF-3", "air.nc", small_netcdf());
    put(&mut catalog, "rich.deep", "netCDF-4", "deep.nc", b"\x89HDF\r\n\x1a\n\x02\x08\x08\0".to_vec());
    let shared = [
        "rich.notes",
        "rich.text",
        "rich.picture",
        "rich.zip",
        "rich.bytes",
        "rich.json",
        "rich.air",
        "rich.deep",
    ];
    let dataset = format!("{ABOUT}{TABLE}");
    let data: Vec<&str> = shared.iter().copied().chain(["rich1.table", "rich1.gone"]).collect();
    put_metadata(&mut catalog, "doi:10.5072/RICH1", &data, None, &dataset);
    let data: Vec<&str> = shared.iter().copied().chain(["rich2.table"]).collect();
    put_metadata(&mut catalog, "doi:10.5072/RICH2", &data, Some("doi:10.5072/RICH1"), &dataset);
    state_provenance(&mut catalog, "doi:10.5072/RICH2.map");
    put_hostile(&mut catalog);
    let maps = ["doi:10.5072/RICH1.map", "doi:10.5072/RICH2.map", "hostile.map"];
    Served::start(repository(catalog, &maps).await).await
}

/// The pages of the rich package by name.
pub(crate) fn rich_pages() -> BTreeMap<&'static str, String> {
    let file = |name: &str| format!("/p/{RICH}/data/{name}?view");
    BTreeMap::from([
        ("home", "/".to_owned()),
        ("search", "/search?q=mooring".to_owned()),
        ("nothing", "/search?q=nothing&creator=nobody".to_owned()),
        ("package", format!("/p/{RICH}/")),
        ("replaced", format!("/p/{OLD}/")),
        ("whole", format!("/p/{RICH}/?all")),
        ("directory", format!("/p/{RICH}/metadata/")),
        ("table", file("hours.csv")),
        ("counts", format!("{}&x=site", file("hours.csv"))),
        ("text", file("log.txt")),
        ("markdown", file("notes.md")),
        ("image", file("picture.png")),
        ("archive", file("bundle.zip")),
        ("bytes", file("raw.bin")),
        ("netcdf", file("air.nc")),
        ("netcdf4", file("deep.nc")),
        ("json", file("facts.json")),
        ("compare", format!("/compare/{RICH}?with={OLD}")),
        ("provenance", format!("/provenance/{RICH}")),
        ("cells", format!("/compare/{RICH}?with={OLD}&file=data%2Fhours.csv")),
        ("error", "/p/nothing/".to_owned()),
    ])
}

/// Markup that does harm where a page does not escape it.
const HARM: &str = "<img src=x onerror=\"globalThis.hacked=1\"><script>globalThis.hacked=1</script>\"'><u>";

fn put_hostile(catalog: &mut Catalog) {
    let escaped = HARM.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let quoted = HARM.replace('"', "\"\"");
    let csv = format!("\"{quoted}\",value\n\"{quoted}\",1\n\"x\",2\n");
    put(catalog, "hostile.csv", "text/csv", "<img src=x onerror=alert(1)>.csv", csv.into_bytes());
    let markdown = format!(
        "# {HARM}\n\n[x](javascript:globalThis.hacked=1) ![y](https://evil.example/pixel.png)\n\n{HARM}\n"
    );
    put(catalog, "hostile.md", "text/markdown", "hostile.md", markdown.into_bytes());
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"globalThis.hacked=1\"><script>globalThis.hacked=1</script>{HARM}</svg>"
    );
    put(catalog, "hostile.svg", "image/svg+xml", "hostile.svg", svg.into_bytes());
    put(catalog, "hostile.html", "text/html", "hostile.html", format!("<html>{HARM}</html>").into_bytes());
    put(catalog, "hostile.txt", "text/plain", "hostile.txt", HARM.as_bytes().to_vec());
    put(catalog, "hostile.json", "application/json", "hostile.json", serde_json::to_vec(HARM).unwrap());
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    writer.start_file(HARM, options).unwrap();
    writer.write_all(&vec![0; 8 << 20]).unwrap();
    put(catalog, "hostile.zip", "application/zip", "bomb.zip", writer.finish().unwrap().into_inner());
    let dataset = format!(
        "<title>Hostile {escaped}</title><creator><individualName><surName>{escaped}</surName></individualName>\
         <organizationName>{escaped}</organizationName><userId>javascript:alert(1)</userId></creator>\
         <abstract><para>{escaped}</para></abstract><keywordSet><keyword>{escaped}</keyword></keywordSet>\
         <licensed><licenseName>{escaped}</licenseName><url>javascript:globalThis.hacked=1</url></licensed>\
         <coverage><geographicCoverage><geographicDescription>{escaped}</geographicDescription><boundingCoordinates>\
         <westBoundingCoordinate>1</westBoundingCoordinate><eastBoundingCoordinate>2</eastBoundingCoordinate>\
         <northBoundingCoordinate>4</northBoundingCoordinate><southBoundingCoordinate>3</southBoundingCoordinate>\
         </boundingCoordinates></geographicCoverage></coverage>\
         <methods><methodStep><description><para>{escaped}</para></description></methodStep></methods>\
         <dataTable id=\"hostile.csv\"><entityName>{escaped}</entityName><entityDescription>{escaped}</entityDescription>\
         <attributeList><attribute><attributeName>{escaped}</attributeName><attributeDefinition>{escaped}</attributeDefinition>\
         <measurementScale><nominal/></measurementScale></attribute><attribute><attributeName>value</attributeName>\
         <measurementScale><ratio><unit><customUnit>{escaped}</customUnit></unit><numericDomain><numberType>real</numberType>\
         </numericDomain></ratio></measurementScale></attribute></attributeList></dataTable>"
    );
    let data = [
        "hostile.csv",
        "hostile.md",
        "hostile.svg",
        "hostile.html",
        "hostile.txt",
        "hostile.json",
        "hostile.zip",
    ];
    put_metadata(catalog, "hostile", &data, None, &dataset);
}

/// Returns the pages of the hostile package by name: all that its listing leads to.
pub(crate) async fn hostile_pages(served: &Served) -> BTreeMap<&'static str, String> {
    const NAMES: [&str; 8] = ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7"];
    let search = served.get("/search?q=hostile").await.text();
    let package = links(&search).into_iter().find(|link| link.contains("/p/")).expect("the hostile package");
    let package = package.strip_prefix(&served.url("")).unwrap().to_owned();
    let page = served.get(&package).await.text();
    let files = links(&page).into_iter().filter(|link| link.contains("/data/") && link.ends_with("?view"));
    let mut paths: Vec<String> =
        files.map(|link| link.strip_prefix(&served.url("")).unwrap().to_owned()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), 7, "{paths:?}");
    let table = paths.iter().find(|path| path.contains(".csv")).unwrap().clone();
    let mut pages: BTreeMap<_, _> = NAMES.into_iter().zip(paths).collect();
    pages.insert("hp", package);
    pages.insert("hs", "/search?q=hostile".to_owned());
    pages.insert("hplot", format!("{table}&x=value"));
    pages
}

fn links(page: &str) -> Vec<String> {
    let parts = page.split("href=\"").skip(1);
    parts.filter_map(|part| part.split('"').next()).map(|link| link.replace("&#38;", "&")).collect()
}

#[tokio::test]
async fn a_package_page_tells_what_its_metadata_tell() {
    let served = rich().await;
    let page = served.get(&format!("/p/{RICH}/")).await;
    assert_eq!(page.status, 200);
    let text = page.text();
    for expected in [
        "Mooring temperatures of a fjord — façade &#38; &#34;quotes&#34;",
        "href=\"https://orcid.org/0000-0002-1825-0097\"",
        "Station Brønnøysund",
        "The second paragraph.",
        "65.2° N, 11.5° E to 65.9° N, 12.5° E",
        "2023-01-01 to 2023-12-28",
        "Gadus morhua (cod)",
        "Temperature of the water",
        "celsius",
        "-9999",
        "A thermistor chain was moored.",
        "Research Council",
        "version 2 of 2",
        "https://creativecommons.org/licenses/by/4.0/",
        "Ada Fjord, Station Brønnøysund (2024). Mooring temperatures",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
    assert!(
        page.header("Content-Security-Policy").unwrap().starts_with("default-src 'none'; style-src 'self'")
    );
    let old = served.get(&format!("/p/{OLD}/")).await.text();
    assert!(old.contains("A newer version replaces this one"));
    assert!(!text.contains(" style=\"") && !text.contains("<style"), "no style in pages");
}

#[tokio::test]
async fn the_header_of_netcdf_is_a_page() {
    let served = rich().await;
    let page = served.get(&format!("/p/{RICH}/data/air.nc?view")).await.text();
    for expected in [
        "NetCDF classic (CDF-1). 2 records.",
        "<code>air_temp</code></th><td>Temperature of the air</td><td>degree_Celsius</td><td>double</td><td>time</td>",
        "2 so far, not limited",
        "Air over &#60;b&#62;the fjord&#60;/b&#62;",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let page = served.get(&format!("/p/{RICH}/data/deep.nc?view")).await.text();
    assert!(page.contains("This is NetCDF-4, which is HDF5") && page.contains("89 48 44 46"), "{page}");
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "the line is for the person who runs the tests")]
async fn the_footer_of_parquet_is_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/bin/duckdb");
    let query = "COPY (SELECT i::INTEGER AS \"<u>row\", CASE WHEN i % 4 > 0 THEN i * 0.5 END::DOUBLE AS temp, \
                 TIMESTAMP '2023-01-01' + INTERVAL (i) HOUR AS moment FROM range(9000) t(i)) \
                 TO 'sums.parquet' (ROW_GROUP_SIZE 2048, KV_METADATA {title: 'Sums'})";
    match Command::new(program).current_dir(folder.path()).args(["-c", query]).output() {
        Err(_) => return eprintln!("skipped: duckdb is not installed"),
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
    }
    std::fs::write(folder.path().join("broken.parquet"), b"PAR1 and nothing else \xff\0\0\0PAR1").unwrap();
    let served = Served::start(repository_of(folder.path(), "sums").await).await;
    let page = served.get("/p/sums/sums.parquet?view").await.text();
    for expected in [
        "9000 rows in 5 row groups, as the footer of the file states. Written by DuckDB",
        "<code>&#60;u&#62;row</code></th><td>int32</td><td>0</td><td>0</td><td>8999</td>",
        "<code>temp</code></th><td>double</td><td>2250</td><td>0.5</td><td>4499.5</td>",
        "<code>moment</code></th><td>date and time</td><td>0</td><td></td><td></td>",
        "<code>title</code></th><td>Sums</td>",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let page = served.get("/p/sums/broken.parquet?view").await.text();
    assert!(
        page.contains("footer of this Parquet file cannot be read") && page.contains("50 41 52 31"),
        "{page}"
    );
}

#[tokio::test]
async fn a_part_of_a_table_has_one_url() {
    let served = rich().await;
    let table = format!("/p/{RICH}/data/hours.csv");
    let csv = served.get(&format!("{table}?cols=temp_c,time&rows=2-3")).await;
    assert_eq!(csv.text(), "temp_c,time\n10.007,2023-01-01 01:00:00\n10.014,2023-01-01 02:00:00\n");
    assert_eq!(csv.header("Content-Type"), Some("text/csv; charset=utf-8"));
    let again = format!("If-None-Match: {}\r\n", csv.header("ETag").unwrap());
    assert_eq!(served.ask("GET", &format!("{table}?cols=temp_c,time&rows=2-3"), &again).await.status, 304);
    let json: Value =
        serde_json::from_slice(&served.get(&format!("{table}?rows=3000-3001&format=json")).await.body)
            .unwrap();
    assert_eq!((json["data"].as_array().unwrap().len(), &json["columns"][1]["unit"]), (1, &"celsius".into()));
    assert_eq!((&json["rowsOfTable"], &json["source"]["verified"]), (&3000.into(), &true.into()));
    let svg = served.get(&format!("{table}?format=svg&cols=time,temp_c")).await;
    assert!(svg.text().starts_with("<svg xmlns=") && svg.text().ends_with("</svg>"));
    assert!(svg.header("Content-Security-Policy").unwrap().starts_with("sandbox"));
    for (query, expected) in [
        ("cols=none", "the table has no column of this name; its columns are: time, temp_c, depth, site"),
        ("rows=0-1", "expected rows such as 1-1000"),
        ("rows=1-9999999", "expected at most 100000 rows"),
        ("format=html", "expected csv, json or svg"),
        ("format=svg&cols=a,b,c", "the table has no column"),
    ] {
        let refused = served.get(&format!("{table}?{query}")).await;
        assert!(refused.status == 400 && refused.text().contains(expected), "{query}: {}", refused.text());
    }
    assert_eq!(served.get(&format!("/p/{RICH}/data/picture.png?rows=1-2")).await.status, 400);
}

#[tokio::test]
async fn metadata_are_compared_with_data() {
    let served = rich().await;
    let answer = served.get(&format!("/p/{RICH}/data/hours.csv?check")).await;
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(document["agrees"], true, "{document}");
    assert_eq!(document["describedBy"]["recognizedBy"], "its identifier");
    let statements: Vec<&str> =
        document["findings"].as_array().unwrap().iter().filter_map(|one| one["statement"].as_str()).collect();
    for expected in ["3000 rows", "4 columns", "temp_c: from -2 to 30", "site: one of 2 codes"] {
        assert!(statements.contains(&expected), "{statements:?}");
    }
    let page = served.get(&format!("/p/{RICH}/data/hours.csv?view")).await.text();
    assert!(page.contains("Rows 1 to 100 of 3000") && page.contains("Of all 3000 rows"), "{page}");
    assert_eq!(served.get(&format!("/p/{RICH}/data/log.txt?check")).await.status, 404);
}

#[tokio::test]
async fn versions_are_compared_by_content() {
    let served = rich().await;
    for (left, right) in [(RICH, OLD), (OLD, RICH)] {
        let answer = served.get(&format!("/compare/{left}?with={right}&format=json")).await;
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        let paths = |name: &str| -> Vec<&str> {
            document[name]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|one| one["path"].as_str())
                .filter(|path| path.starts_with("data/"))
                .collect()
        };
        assert_eq!((paths("changed"), paths("removed")), (vec!["data/hours.csv"], vec!["data/gone.csv"]));
        assert!(paths("added").is_empty() && paths("moved").is_empty());
    }
    let cells = served.get(&format!("/compare/{RICH}?with={OLD}&file=data/hours.csv&format=json")).await;
    let document: Value = serde_json::from_slice(&cells.body).unwrap();
    assert_eq!((&document["changedCells"], &document["key"]), (&1.into(), &"time".into()), "{document}");
    assert_eq!(document["cells"][0]["row"], "2023-01-01 07:00:00");
    assert_eq!(served.get(&format!("/compare/{RICH}")).await.status, 400);
    assert_eq!(served.get(&format!("/compare/{RICH}?with=nothing")).await.status, 404);
}

#[tokio::test]
async fn a_proof_reads_the_bytes_and_gives_a_receipt() {
    let served = rich().await;
    let target = format!("/prove/{RICH}/data/hours.csv");
    assert_eq!(served.get(&target).await.status, 404);
    let proven = served.ask("POST", &target, "Content-Length: 0\r\n").await;
    assert_eq!(proven.status, 200, "{}", proven.text());
    let receipt: Value = serde_json::from_slice(&proven.body).unwrap();
    assert_eq!((&receipt["matches"], &receipt["path"]), (&true.into(), &"data/hours.csv".into()));
    let declared: Vec<(&str, &str)> = receipt["checksums"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| Some((one["algorithm"].as_str()?, one["declaredBy"].as_str()?)))
        .collect();
    assert!(
        declared.contains(&("SHA-256", "package")) && declared.contains(&("SHA-1", "system metadata")),
        "{receipt}"
    );
    assert_eq!(served.get(&target).await.status, 200);
    let whole =
        served.ask("POST", &format!("/prove/{RICH}"), "Content-Length: 0\r\nAccept: text/html\r\n").await;
    let page = served.url(&format!("/p/{RICH}/#fixity"));
    assert_eq!((whole.status, whole.header("Location")), (303, Some(page.as_str())));
    assert!(served.get(&format!("/p/{RICH}/")).await.text().contains("every declared checksum"));
    let foreign = served.ask("POST", &target, "Content-Length: 0\r\nOrigin: https://evil.example\r\n").await;
    assert_eq!(foreign.status, 401);
    assert_eq!(served.ask("POST", &format!("/prove/{RICH}/none"), "Content-Length: 0\r\n").await.status, 404);
    assert_eq!(served.ask("POST", "/", "Content-Length: 0\r\n").await.status, 405);
}

#[tokio::test]
async fn nothing_of_a_hostile_package_reaches_a_page_as_markup() {
    let served = rich().await;
    for (name, path) in hostile_pages(&served).await {
        let page = served.ask("GET", &path, "Accept: text/html\r\n").await;
        let text = page.text();
        assert_eq!(page.status, 200, "{path}");
        for harm in [
            "<img src=x",
            "<script>globalThis",
            "href=\"javascript",
            "onerror=\"globalThis",
            "<u>",
            "evil.example/pixel.png\">",
        ] {
            let outside_snippets = text.replace("&#60;", "");
            assert!(!outside_snippets.contains(harm), "{name} {path}: {harm}");
        }
    }
    for name in ["hostile.svg", "hostile.html"] {
        let key = hostile_pages(&served).await["hp"].clone();
        let file = served.get(&format!("{key}data/{name}")).await;
        assert!(file.header("Content-Disposition").unwrap().starts_with("attachment"), "{}", file.head);
        assert!(file.header("Content-Security-Policy").unwrap().starts_with("sandbox"));
        assert_eq!(file.header("X-Content-Type-Options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn the_pages_of_a_large_directory_are_small() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3000 {
        let name = format!("file with a rather long name, number {number:05}.csv");
        std::fs::write(folder.path().join(name), format!("{number}\n")).unwrap();
    }
    let served = Served::start(repository_of(folder.path(), "many").await).await;
    let mut seen = std::collections::BTreeSet::new();
    for number in 1..=30 {
        let page = served.get(&format!("/p/many/?all&page={number}")).await;
        assert!(page.status == 200 && page.body.len() < 100_000, "{number}: {} bytes", page.body.len());
        seen.extend(links(&page.text()).into_iter().filter(|link| link.ends_with("?view")));
        assert_eq!(page.text().contains("rel=\"next\""), number < 30);
    }
    assert_eq!(seen.len(), 3000);
    assert!(served.get("/p/many/?page=99999999999999999999").await.body.len() < 100_000);
}

/// Returns real documents with their formats: the samples beside the checkout, and the files of the directory that the
/// variable `D1OCI_EML` names.
fn real_documents() -> Vec<(String, &'static str, Vec<u8>)> {
    let mut documents = Vec::new();
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples/dataone");
    let known = [
        ("pkg-peggym133/peggym.133.1", "eml://ecoinformatics.org/eml-2.1.0"),
        ("objects/jtao.1700.1", "eml://ecoinformatics.org/eml-2.1.0"),
        ("objects/doi_10.18739_A2901ZH2M", "http://www.isotc211.org/2005/gmd"),
    ];
    for (path, format) in known {
        documents.extend(
            std::fs::read(samples.join(path)).ok().map(|bytes| (path.replace('/', "."), format, bytes)),
        );
    }
    let Some(folder) = std::env::var_os("D1OCI_EML") else { return documents };
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().replace('+', ".");
        documents.push((name, EML, std::fs::read(entry.path()).unwrap()));
    }
    documents
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "the line is for the person who runs the tests")]
async fn real_documents_become_pages() {
    let documents = real_documents();
    if documents.is_empty() {
        eprintln!("skipped: ../shared/samples does not exist");
        return;
    }
    let mut catalog = Catalog::default();
    put(&mut catalog, "real.data", "text/csv", "real.csv", b"a,b\n1,2\n".to_vec());
    let mut maps = Vec::new();
    for (name, format, bytes) in &documents {
        let content = Content::Memory(bytes.clone().into());
        catalog.put(StoredObject::new(id(name), format, content).unwrap()).unwrap();
        let map = format!("{name}.map");
        catalog.put_package(&Package::new(id(&map), id(name), [id("real.data")].into_iter())).unwrap();
        maps.push(map);
    }
    let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
    let served = Served::start(repository(catalog, &maps).await).await;
    for (name, ..) in &documents {
        let page = served.get(&format!("/p/{}/", d1_model::encode_path_segment(name))).await;
        let text = page.text();
        let title = text.split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next()).unwrap_or_default();
        assert!(
            page.status == 200 && page.body.len() < 100_000,
            "{name}: {} {}",
            page.status,
            page.body.len()
        );
        assert!(title.trim().len() > 3 && !title.contains(name.as_str()), "{name}: {title}");
        assert!(text.contains("class=\"authors\""), "{name} has no creators");
    }
}

#[tokio::test]
async fn redirections_and_refusals_do_not_serve_attackers() {
    let served = rich().await;
    for target in [
        "//evil.example/",
        "/\\evil.example/",
        "/p//evil.example",
        "/p/%2F%2Fevil.example",
        "/p/\\\\evil.example",
        "/prove//evil.example",
    ] {
        for method in ["GET", "POST"] {
            let answer = served.ask(method, target, "Accept: text/html\r\nContent-Length: 0\r\n").await;
            let location = answer.header("Location").unwrap_or_default();
            assert!(location.is_empty() || location.starts_with(&served.url("/")), "{target}: {location}");
            assert!(!answer.text().contains("evil.example"), "{target} is repeated");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn provenance_is_a_page_and_json() {
    let served = rich().await;
    let page = served.get(&format!("/provenance/{RICH}")).await;
    assert_eq!(page.status, 200);
    let text = page.text();
    for part in ["picture.png", "hours.csv", "log.txt", "elsewhere&#60;1&#62;", "not stated"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json: Value =
        serde_json::from_str(&served.get(&format!("/provenance/{RICH}?format=json")).await.text()).unwrap();
    assert_eq!(json["runs"][0]["used"][0], "rich2.table");
    assert_eq!(json["runs"][0]["generated"][0], "rich.picture");
    assert_eq!(json["derivations"][0]["source"], "elsewhere<1>");
    assert!(served.get(&format!("/p/{RICH}/")).await.text().contains(&format!("/provenance/{RICH}")));
    // A map without such statements is not an error.
    let other = served.get(&format!("/provenance/{OLD}")).await;
    assert!(other.status == 200 && other.text().contains("states nothing"));
    assert_eq!(served.get("/provenance/nothing").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_a_search_are_json_a_table_and_a_feed() {
    let served = rich().await;
    let json: Value = serde_json::from_str(&served.get("/search.json?q=mooring").await.text()).unwrap();
    let packages = json["packages"].as_array().unwrap();
    assert_eq!(json["total"], packages.len());
    assert!(packages[0]["url"].as_str().unwrap().ends_with("/") && json["next"].is_null());
    let table = served.get("/search.csv?q=mooring").await.text();
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let identifiers: Vec<String> = rows.records().map(|row| row.unwrap()[0].to_owned()).collect();
    let expected: Vec<String> =
        packages.iter().map(|one| one["identifier"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(identifiers, expected);
    let feed = served.get("/search.atom").await;
    assert_eq!(feed.header("Content-Type"), Some("application/atom+xml"));
    let feed = feed.text();
    let mut reader = quick_xml::Reader::from_str(&feed);
    let mut entries = 0;
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(start) => {
                entries += usize::from(start.name().as_ref() == "entry")
            }
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    let all: Value = serde_json::from_str(&served.get("/search.json").await.text()).unwrap();
    assert_eq!(entries, all["packages"].as_array().unwrap().len());
    assert_eq!(served.get("/search.xls").await.status, 404);
    assert_eq!(served.get("/search.json?bbox=1,2").await.status, 400);
}

/// The snippets of a page: the tool, and the text.
fn snippets(page: &str) -> Vec<(String, String)> {
    let parts = page.split("<div class=\"snippet\"><p><b>").skip(1);
    let plain = |text: &str| {
        let known = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
        known.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    parts
        .filter_map(|part| {
            let tool = part.split("</b>").next()?;
            let text = part.split("<code>").nth(1)?.split("</code>").next()?;
            Some((tool.to_owned(), plain(text)))
        })
        .collect()
}

/// Finds the extension of DuckDB that reads URLs, where `cargo xtask peers` installs it.
fn httpfs(peers: &Path) -> Option<PathBuf> {
    let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let libraries = entries(peers.join("python/duckdb/lib"));
    let packages =
        libraries.map(|python| python.path().join("site-packages/duckdb_extension_httpfs/extensions"));
    let files = packages.flat_map(entries).map(|version| version.path().join("httpfs.duckdb_extension"));
    files.into_iter().find(|file| file.is_file())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "the lines are for the person who runs the tests")]
async fn the_snippets_of_pages_run() {
    let served = rich().await;
    let mut all = snippets(&served.get(&format!("/p/{RICH}/")).await.text());
    all.extend(snippets(&served.get(&format!("/p/{RICH}/data/hours.csv?view")).await.text()));
    let tools: Vec<&str> = all.iter().map(|(tool, _)| tool.as_str()).collect();
    for expected in ["curl", "Python", "R", "DuckDB", "sha256sum"] {
        assert!(tools.contains(&expected), "{tools:?}");
    }
    let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers");
    // The environment of the validators has pandas.
    let path =
        format!("{peers}/python/pyshacl/bin:{peers}/bin:{}", std::env::var("PATH").unwrap_or_default());
    let httpfs = httpfs(Path::new(peers));
    for (tool, text) in all {
        let folder = tempfile::tempdir().unwrap();
        let (program, arguments): (&str, Vec<String>) = match tool.as_str() {
            "curl" => ("sh", vec!["-c".to_owned(), text.clone()]),
            "Python" => ("python3", vec!["-c".to_owned(), format!("{text}\nassert len(table) == 3000")]),
            "R" => ("Rscript", vec!["-e".to_owned(), format!("{text}; stopifnot(nrow(table) == 3000)")]),
            "DuckDB" => {
                let load =
                    httpfs.as_ref().map_or_else(String::new, |file| format!("LOAD '{}';", file.display()));
                ("duckdb", vec!["-c".to_owned(), format!("{load} {text}")])
            }
            // The files are not here: the list itself must be readable.
            "sha256sum" => {
                ("sh", vec!["-c".to_owned(), format!("{} --ignore-missing --status; test $? -le 1", text)])
            }
            "Text" | "d1oci" | "oras" => continue,
            other => panic!("no way to run {other}"),
        };
        let mut command = tokio::process::Command::new(program);
        command.args(&arguments).current_dir(folder.path()).env("PATH", &path);
        let missing = match tool.as_str() {
            "Python" => !Command::new("python3")
                .env("PATH", &path)
                .args(["-c", "import pandas"])
                .output()
                .is_ok_and(|o| o.status.success()),
            "DuckDB" => httpfs.is_none(),
            _ => false,
        };
        match command.output().await {
            _ if missing => eprintln!("skipped: the snippet for {tool} needs pandas or the extension httpfs"),
            Err(_) => eprintln!("skipped: {program} is not installed"),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{tool}: {text}\n{said}");
            }
        }
    }
}
