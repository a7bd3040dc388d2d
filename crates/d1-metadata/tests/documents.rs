//! Documents of each format, and documents that are made to harm.

use d1_metadata::{Error, MetadataFormat, Period, ScienceMetadata, read};

fn parsed(text: &str) -> ScienceMetadata {
    read(text.as_bytes()).unwrap()
}

fn period(begin: &str, end: &str) -> Period {
    let date = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Period { begin: date(begin), end: date(end) }
}

fn corners(metadata: &ScienceMetadata) -> Vec<[f64; 4]> {
    metadata.boxes.iter().map(|found| [found.west, found.south, found.east, found.north]).collect()
}

const EML: &str = r#"<?xml version="1.0"?>
<eml:eml xmlns:eml="eml://ecoinformatics.org/eml-2.1.1" packageId="lter.1.1" system="x">
 <dataset>
  <title>  Birds &amp; <value xml:lang="de">Vögel</value></title>
  <creator id="c1"><individualName><givenName>Ada</givenName><givenName>M.</givenName><surName>Lovelace</surName></individualName>
    <organizationName>Analytical Society</organizationName><electronicMailAddress>ada@example.org</electronicMailAddress>
    <userId directory="http://orcid.org/">0000-0002-1825-0097</userId></creator>
  <creator><references>c1</references></creator>
  <creator><organizationName>Station</organizationName></creator>
  <creator><positionName>Data manager</positionName></creator>
  <creator><address/></creator>
  <pubDate>2020-05-01</pubDate>
  <language>eng</language>
  <abstract><section><title>Summary</title><para>CO<subscript>2</subscript> and
     birds.</para></section><markdown>One.

Two.</markdown></abstract>
  <keywordSet><keyword>birds</keyword><keyword>birds</keyword><keyword>tundra</keyword></keywordSet>
  <intellectualRights><para>Use it: http://creativecommons.org/licenses/by/4.0/, please.</para></intellectualRights>
  <coverage>
   <geographicCoverage><geographicDescription>Toolik</geographicDescription><boundingCoordinates>
     <westBoundingCoordinate>-150</westBoundingCoordinate><eastBoundingCoordinate>-149</eastBoundingCoordinate>
     <northBoundingCoordinate>69</northBoundingCoordinate><southBoundingCoordinate>68</southBoundingCoordinate>
   </boundingCoordinates></geographicCoverage>
   <geographicCoverage><geographicDescription>Ring</geographicDescription><datasetGPolygon><datasetGPolygonOuterGRing>
     <gRing>10,50 12,50 12,55</gRing></datasetGPolygonOuterGRing></datasetGPolygon></geographicCoverage>
   <geographicCoverage><geographicDescription>Somewhere</geographicDescription></geographicCoverage>
   <temporalCoverage><rangeOfDates><beginDate><calendarDate>2001</calendarDate></beginDate>
     <endDate><calendarDate>2003-06-30</calendarDate></endDate></rangeOfDates></temporalCoverage>
   <temporalCoverage><singleDateTime><calendarDate>2010-01-01</calendarDate></singleDateTime>
     <singleDateTime><alternativeTimeScale><timeScaleName>Jurassic</timeScaleName></alternativeTimeScale></singleDateTime></temporalCoverage>
   <taxonomicCoverage><taxonomicClassification><taxonRankName>Class</taxonRankName><taxonRankValue>Aves</taxonRankValue>
     <commonName>Birds</commonName><taxonomicClassification><taxonRankName>Species</taxonRankName>
     <taxonRankValue>Plectrophenax nivalis</taxonRankValue></taxonomicClassification></taxonomicClassification></taxonomicCoverage>
  </coverage>
  <project><funding><para>NSF 1234</para></funding></project>
  <dataTable id="t1"><entityName>counts</entityName><entityDescription>Counts of birds</entityDescription>
   <physical><objectName>counts.csv</objectName><size unit="byte">120</size><authentication method="SHA-1">abc</authentication>
    <characterEncoding>UTF-8</characterEncoding>
    <dataFormat><textFormat><numHeaderLines>1</numHeaderLines><recordDelimiter>\r\n</recordDelimiter>
     <attributeOrientation>column</attributeOrientation><simpleDelimited><fieldDelimiter> </fieldDelimiter>
     <quoteCharacter>"</quoteCharacter></simpleDelimited></textFormat></dataFormat>
    <distribution><online><url>https://example.org/x</url></online></distribution></physical>
   <attributeList id="a">
    <attribute><attributeName>count</attributeName><attributeLabel>Number</attributeLabel><attributeDefinition>Birds seen</attributeDefinition>
     <storageType>integer</storageType><measurementScale><ratio><unit><standardUnit>number</standardUnit></unit>
     <numericDomain><numberType>whole</numberType><bounds><minimum exclusive="false">0</minimum></bounds></numericDomain></ratio>
     </measurementScale><missingValueCode><code>-999</code></missingValueCode></attribute>
    <attribute><attributeName>day</attributeName><measurementScale><datetime><formatString>YYYY-MM-DD</formatString></datetime></measurementScale></attribute>
    <attribute><attributeName>sex</attributeName><measurementScale><nominal><nonNumericDomain><enumeratedDomain>
     <codeDefinition><code>f</code><definition>female</definition></codeDefinition></enumeratedDomain></nonNumericDomain></nominal></measurementScale></attribute>
   </attributeList><numberOfRecords>7</numberOfRecords></dataTable>
  <otherEntity><entityName>map.tif</entityName><attributeList><references>a</references></attributeList></otherEntity>
 </dataset>
</eml:eml>"#;

#[test]
fn eml_is_read() {
    let found = parsed(EML);
    assert_eq!(found.format, MetadataFormat::Eml);
    assert_eq!(
        (found.title.as_deref(), found.other_titles.as_slice()),
        (Some("Birds &"), ["Vögel".to_owned()].as_slice())
    );
    let names: Vec<_> = found.creators.iter().map(|party| party.name.as_str()).collect();
    assert_eq!(names, ["Ada M. Lovelace", "Ada M. Lovelace", "Station", "Data manager"]);
    assert_eq!(found.creators[1].orcid.as_deref(), Some("0000-0002-1825-0097"));
    assert_eq!(found.r#abstract.as_deref(), Some("Summary\n\nCO2 and birds.\n\nOne.\n\nTwo."));
    assert_eq!(found.keywords, ["birds", "tundra"]);
    assert_eq!(found.license_url.as_deref(), Some("https://creativecommons.org/licenses/by/4.0/"));
    assert_eq!(corners(&found), [[-150.0, 68.0, -149.0, 69.0], [10.0, 50.0, 12.0, 55.0]]);
    assert_eq!(found.places, ["Somewhere"]);
    assert_eq!(found.periods, [period("2001", "2003-06-30"), period("2010-01-01", "2010-01-01")]);
    let taxa: Vec<_> =
        found.taxa.iter().map(|taxon| (taxon.rank.as_deref().unwrap(), &*taxon.name)).collect();
    assert_eq!(taxa, [("Class", "Aves"), ("Species", "Plectrophenax nivalis")]);
    assert_eq!(found.funding[0].title.as_deref(), Some("NSF 1234"));
    let table = &found.entities[0];
    assert_eq!(
        (table.object_name.as_deref(), table.size, table.records),
        (Some("counts.csv"), Some(120), Some(7))
    );
    assert_eq!(table.checksum, Some(("SHA-1".to_owned(), "abc".to_owned())));
    let csv = table.csv.as_ref().unwrap();
    assert_eq!(
        (csv.header_lines, csv.field_delimiter.as_deref(), csv.quote.as_deref()),
        (Some(1), Some(" "), Some("\""))
    );
    let [count, day, sex] = table.attributes.as_slice() else { panic!("expected three attributes") };
    assert_eq!((count.scale.as_deref(), count.unit.as_deref()), (Some("ratio"), Some("number")));
    assert_eq!(
        (count.minimum.as_deref(), count.missing.as_slice()),
        (Some("0"), ["-999".to_owned()].as_slice())
    );
    assert_eq!((day.scale.as_deref(), day.date_format.as_deref()), (Some("dateTime"), Some("YYYY-MM-DD")));
    assert_eq!((sex.codes[0].code.as_str(), sex.codes[0].definition.as_str()), ("f", "female"));
    assert_eq!(found.entities[1].attributes.len(), 3, "a reference stands for the list");
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<ScienceMetadata>(&json).unwrap(), found);
}

#[test]
fn eml_2_2_states_licence_and_awards() {
    let found = parsed(
        "<eml:eml xmlns:eml='https://eml.ecoinformatics.org/eml-2.2.0'><dataset><title>T</title>\
         <licensed><licenseName>CC BY</licenseName><url>https://creativecommons.org/licenses/by/4.0/</url></licensed>\
         <project><award><funderName>NSF</funderName><awardNumber>99</awardNumber><title>Ice</title></award></project></dataset></eml:eml>",
    );
    assert_eq!((found.license.as_deref(), found.funding[0].number.as_deref()), (Some("CC BY"), Some("99")));
}

#[test]
fn both_forms_of_iso_are_read() {
    let gmd = parsed(
        r#"<gmd:MD_Metadata xmlns:gmd="http://www.isotc211.org/2005/gmd" xmlns:gco="g" xmlns:gml="h" xmlns:gmx="x" xmlns:xlink="l">
        <gmd:fileIdentifier><gco:CharacterString>iso.1</gco:CharacterString></gmd:fileIdentifier>
        <gmd:identificationInfo><gmd:MD_DataIdentification><gmd:citation><gmd:CI_Citation>
        <gmd:title><gco:CharacterString>Buoys</gco:CharacterString></gmd:title>
        <gmd:date><gmd:CI_Date><gmd:date><gco:Date>2019-01-01</gco:Date></gmd:date><gmd:dateType><gmd:CI_DateTypeCode codeListValue="creation"/></gmd:dateType></gmd:CI_Date></gmd:date>
        <gmd:date><gmd:CI_Date><gmd:date><gco:Date>2020-02-02</gco:Date></gmd:date><gmd:dateType><gmd:CI_DateTypeCode codeListValue="publication"/></gmd:dateType></gmd:CI_Date></gmd:date>
        <gmd:citedResponsibleParty><gmd:CI_ResponsibleParty><gmd:individualName><gmx:Anchor xlink:href="https://orcid.org/0000-0002-1825-0097">A. Nansen</gmx:Anchor></gmd:individualName>
        <gmd:role><gmd:CI_RoleCode codeListValue="principalInvestigator"/></gmd:role></gmd:CI_ResponsibleParty></gmd:citedResponsibleParty>
        <gmd:citedResponsibleParty><gmd:CI_ResponsibleParty><gmd:organisationName><gco:CharacterString>Archive</gco:CharacterString></gmd:organisationName>
        <gmd:role><gmd:CI_RoleCode codeListValue="publisher"/></gmd:role></gmd:CI_ResponsibleParty></gmd:citedResponsibleParty>
        </gmd:CI_Citation></gmd:citation><gmd:abstract><gco:CharacterString>Drift.</gco:CharacterString></gmd:abstract>
        <gmd:descriptiveKeywords><gmd:MD_Keywords><gmd:keyword><gco:CharacterString>ocean</gco:CharacterString></gmd:keyword></gmd:MD_Keywords></gmd:descriptiveKeywords>
        <gmd:resourceConstraints><gmd:MD_LegalConstraints><gmd:otherConstraints><gco:CharacterString>CC0: https://creativecommons.org/publicdomain/zero/1.0/</gco:CharacterString></gmd:otherConstraints></gmd:MD_LegalConstraints></gmd:resourceConstraints>
        <gmd:extent><gmd:EX_Extent><gmd:geographicElement><gmd:EX_GeographicBoundingBox>
        <gmd:westBoundLongitude><gco:Decimal>-20</gco:Decimal></gmd:westBoundLongitude><gmd:eastBoundLongitude><gco:Decimal>20</gco:Decimal></gmd:eastBoundLongitude>
        <gmd:southBoundLatitude><gco:Decimal>60</gco:Decimal></gmd:southBoundLatitude><gmd:northBoundLatitude><gco:Decimal>80</gco:Decimal></gmd:northBoundLatitude>
        </gmd:EX_GeographicBoundingBox></gmd:geographicElement><gmd:temporalElement><gml:TimePeriod><gml:beginPosition>2001-01-01</gml:beginPosition>
        <gml:endPosition indeterminatePosition="now"/></gml:TimePeriod></gmd:temporalElement></gmd:EX_Extent></gmd:extent>
        </gmd:MD_DataIdentification></gmd:identificationInfo></gmd:MD_Metadata>"#,
    );
    assert_eq!((gmd.title.as_deref(), gmd.package_id.as_deref()), (Some("Buoys"), Some("iso.1")));
    assert_eq!((gmd.published.as_deref(), gmd.publisher.as_deref()), (Some("2020-02-02"), Some("Archive")));
    assert_eq!((gmd.creators.len(), gmd.creators[0].orcid.as_deref()), (1, Some("0000-0002-1825-0097")));
    assert_eq!(corners(&gmd), [[-20.0, 60.0, 20.0, 80.0]]);
    assert_eq!(gmd.periods, [period("2001-01-01", "")]);
    assert_eq!(gmd.periods[0].days().unwrap().1, i64::MAX);
    assert_eq!(gmd.license_url.as_deref(), Some("https://creativecommons.org/publicdomain/zero/1.0/"));

    let mdb = parsed(
        r#"<mdb:MD_Metadata xmlns:mdb="m" xmlns:mri="r" xmlns:cit="c" xmlns:gco="g" xmlns:mcc="d"><mdb:metadataIdentifier><mcc:MD_Identifier><mcc:code><gco:CharacterString>iso.3</gco:CharacterString></mcc:code></mcc:MD_Identifier></mdb:metadataIdentifier>
        <mdb:identificationInfo><mri:MD_DataIdentification><mri:citation><cit:CI_Citation><cit:title><gco:CharacterString>New</gco:CharacterString></cit:title>
        <cit:citedResponsibleParty><cit:CI_Responsibility><cit:role><cit:CI_RoleCode codeListValue="author"/></cit:role><cit:party><cit:CI_Organisation><cit:name><gco:CharacterString>Institute</gco:CharacterString></cit:name>
        <cit:individual><cit:CI_Individual><cit:name><gco:CharacterString>B. Amundsen</gco:CharacterString></cit:name></cit:CI_Individual></cit:individual></cit:CI_Organisation></cit:party></cit:CI_Responsibility></cit:citedResponsibleParty>
        </cit:CI_Citation></mri:citation></mri:MD_DataIdentification></mdb:identificationInfo></mdb:MD_Metadata>"#,
    );
    assert_eq!((mdb.package_id.as_deref(), mdb.creators[0].name.as_str()), (Some("iso.3"), "B. Amundsen"));
    assert_eq!(mdb.creators[0].organization.as_deref(), Some("Institute"));
}

#[test]
fn dublin_core_datacite_and_fgdc_are_read() {
    let dc = parsed(
        "<oai_dc:dc xmlns:oai_dc='o' xmlns:dc='d' xmlns:dcterms='t'><dc:title>Cores</dc:title><dc:creator>Curie, M.</dc:creator>\
         <dc:subject>ice</dc:subject><dc:date>1999</dc:date><dcterms:temporal>start=1990; end=1995-06;</dcterms:temporal>\
         <dcterms:spatial>northlimit=80; southlimit=70; westlimit=-50; eastlimit=-20; name=Greenland</dcterms:spatial>\
         <dcterms:spatial>Camp Century</dcterms:spatial></oai_dc:dc>",
    );
    assert_eq!((dc.format, dc.title.as_deref()), (MetadataFormat::DublinCore, Some("Cores")));
    assert_eq!(dc.periods, [period("1990", "1995-06")]);
    assert_eq!(
        (corners(&dc).as_slice(), dc.places.as_slice()),
        ([[-50.0, 70.0, -20.0, 80.0]].as_slice(), ["Camp Century".to_owned()].as_slice())
    );

    let datacite = parsed(
        "<resource xmlns='http://datacite.org/schema/kernel-4'><identifier identifierType='DOI'>10.5072/x</identifier><creators><creator>\
         <creatorName>Hopper, G.</creatorName><nameIdentifier nameIdentifierScheme='ORCID'>0000-0002-1825-0097</nameIdentifier></creator></creators>\
         <titles><title>Moths</title></titles><publicationYear>2021</publicationYear><descriptions><description descriptionType='Abstract'>Wings.</description></descriptions>\
         <geoLocations><geoLocation><geoLocationPoint><pointLongitude>5</pointLongitude><pointLatitude>6</pointLatitude></geoLocationPoint></geoLocation></geoLocations></resource>",
    );
    assert_eq!(
        (datacite.published.as_deref(), datacite.r#abstract.as_deref()),
        (Some("2021"), Some("Wings."))
    );
    assert_eq!((corners(&datacite)[0], datacite.creators[0].orcid.is_some()), ([5.0, 6.0, 5.0, 6.0], true));

    let fgdc = parsed(
        "<metadata><idinfo><citation><citeinfo><origin>USGS</origin><pubdate>20010203</pubdate><title>Wells</title></citeinfo></citation>\
         <descript><abstract>Water.</abstract></descript><timeperd><timeinfo><rngdates><begdate>1990</begdate><enddate>199112</enddate></rngdates></timeinfo></timeperd>\
         <spdom><bounding><westbc>-100</westbc><eastbc>-90</eastbc><northbc>40</northbc><southbc>30</southbc></bounding></spdom></idinfo></metadata>",
    );
    assert_eq!((fgdc.published.as_deref(), fgdc.creators[0].name.as_str()), (Some("2001-02-03"), "USGS"));
    assert_eq!(
        (fgdc.periods[0].clone(), corners(&fgdc)[0]),
        (period("1990", "1991-12"), [-100.0, 30.0, -90.0, 40.0])
    );
}

#[test]
fn ro_crates_are_read() {
    let found = parsed(
        r##"{"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": [
        {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}},
        {"@id": "./", "@type": "Dataset", "name": "Snow", "description": "Depths", "datePublished": "2022-01-05", "keywords": "snow, alps",
         "license": {"@id": "https://creativecommons.org/licenses/by/4.0/"}, "author": [{"@id": "https://orcid.org/0000-0002-1825-0097"}, "B. Writer"],
         "spatialCoverage": {"@id": "#p"}, "temporalCoverage": "2020-01-01/2020-12-31", "hasPart": [{"@id": "a.csv"}, {"@id": "gone"}]},
        {"@id": "https://orcid.org/0000-0002-1825-0097", "@type": "Person", "givenName": "Ada", "familyName": "Lovelace"},
        {"@id": "#p", "@type": "Place", "name": "Alps", "geo": {"@type": "GeoShape", "box": "45 6 48 15"}},
        {"@id": "a.csv", "@type": "File", "name": "Depths", "contentSize": "12", "encodingFormat": "text/csv"}]}"##,
    );
    assert_eq!((found.format, found.title.as_deref()), (MetadataFormat::RoCrate, Some("Snow")));
    let names: Vec<_> = found.creators.iter().map(|party| party.name.as_str()).collect();
    assert_eq!(names, ["Ada Lovelace", "B. Writer"]);
    assert_eq!(
        (found.keywords.as_slice(), corners(&found)[0]),
        (["snow".to_owned(), "alps".to_owned()].as_slice(), [6.0, 45.0, 15.0, 48.0])
    );
    assert_eq!((found.entities[0].size, found.entities[0].format.as_deref()), (Some(12), Some("text/csv")));
    assert_eq!(found.periods, [period("2020-01-01", "2020-12-31")]);
}

#[test]
fn bombs_and_other_documents_are_refused() {
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]><eml><dataset><title>&b;</title></dataset></eml>";
    assert!(matches!(read(bomb.as_bytes()), Err(Error::Entities)));
    let external = "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><eml>&f;</eml>";
    assert!(matches!(read(external.as_bytes()), Err(Error::Entities)));
    assert!(matches!(read(b"<eml>&nbsp;</eml>"), Err(Error::Entities)));
    let deep = "<a>".repeat(200) + &"</a>".repeat(200);
    assert!(matches!(read(deep.as_bytes()), Err(Error::TooLarge { .. })));
    let wide = format!("<eml>{}</eml>", "<a/>".repeat(500_001));
    assert!(matches!(read(wide.as_bytes()), Err(Error::TooLarge { .. })));
    let attributes: String = (0..100).map(|number| format!(" a{number}='1'")).collect();
    assert!(matches!(read(format!("<eml{attributes}/>").as_bytes()), Err(Error::TooLarge { .. })));
    assert!(matches!(read(&vec![b' '; (16 << 20) + 1]), Err(Error::TooLarge { .. })));
    assert!(matches!(
        read(&[b"{\"@graph\":".as_slice(), &[b'['; 100_000]].concat()),
        Err(Error::Malformed(_))
    ));
    for text in ["", "<eml>", "<eml/><eml/>", "</eml>", "plain", "<a x='1' x='2'/>", "{", "\u{0}"] {
        assert!(matches!(read(text.as_bytes()), Err(Error::Malformed(_))), "{text}");
    }
    for text in ["<html><title>x</title></html>", "{\"a\": 1}", "[]", "<metadata/>", "<resource/>"] {
        assert!(matches!(read(text.as_bytes()), Err(Error::UnknownFormat { .. })), "{text}");
    }
}

#[test]
fn references_in_a_circle_end() {
    let circle: String = (0..2000).map(|_| "<creator id='a'><references>a</references></creator>").collect();
    let found = parsed(&format!("<eml><dataset><title>x</title>{circle}</dataset></eml>"));
    assert!(found.creators.is_empty());
}

#[test]
fn long_results_are_cut_and_marked() {
    let keywords = "<keyword>a</keyword>".repeat(3);
    let creators = "<creator><organizationName>o</organizationName></creator>".repeat(10_001);
    let found = parsed(&format!(
        "<eml><dataset><title>{}</title>{creators}<keywordSet>{keywords}</keywordSet></dataset></eml>",
        "é".repeat(10_000)
    ));
    assert!(found.truncated);
    assert_eq!((found.title.unwrap().len(), found.creators.len()), (8192, 10_000));
    assert!(!parsed("<eml><dataset><title>x</title></dataset></eml>").truncated);
}

#[test]
fn latin_1_is_read() {
    let found = read(b"<?xml version='1.0' encoding='ISO-8859-1'?><eml><dataset><title>Gr\xf6nland</title></dataset></eml>");
    assert_eq!(found.unwrap().title.as_deref(), Some("Grönland"));
}
