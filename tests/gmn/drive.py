"""Fills a Generic Member Node with packages, or changes them in ten ways: drive.py URL fill|change"""
import datetime
import hashlib
import sys

import d1_client.mnclient_2_0 as client
import d1_common.resource_map
from d1_common.types import dataoneTypes

base, action = sys.argv[1:3]
mn = client.MemberNodeClient_2_0(base)
EML = "https://eml.ecoinformatics.org/eml-2.2.0"
ORE = "http://www.openarchives.org/ore/terms"

def sysmeta(pid, content, format_id, public=True, sid=None, algorithm="SHA-1"):
    digest = hashlib.new(algorithm.replace("-", "").lower(), content).hexdigest()
    access = '<accessPolicy><allow><subject>public</subject><permission>read</permission></allow></accessPolicy>' if public else ""
    series = f"<seriesId>{sid}</seriesId>" if sid else ""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    return dataoneTypes.CreateFromDocument(f'''<v2:systemMetadata xmlns:v2="http://ns.dataone.org/service/types/v2.0">
<serialVersion>1</serialVersion><identifier>{pid}</identifier><formatId>{format_id}</formatId><size>{len(content)}</size>
<checksum algorithm="{algorithm}">{digest}</checksum><submitter>public</submitter><rightsHolder>CN=owner</rightsHolder>{access}
<archived>false</archived><dateUploaded>{now}</dateUploaded><dateSysMetadataModified>{now}</dateSysMetadataModified>
<originMemberNode>urn:node:GMNTEST</originMemberNode><authoritativeMemberNode>urn:node:GMNTEST</authoritativeMemberNode>
{series}</v2:systemMetadata>''')

def create(pid, content, format_id, **more):
    mn.create(pid, content, sysmeta(pid, content, format_id, **more))

def content(name, version=1):
    return (f"{name},{version}\n" * 50).encode()

def ore(pid, metadata, data):
    return d1_common.resource_map.createSimpleResourceMap(pid, metadata, data).serialize_to_transport()

def package(name, count, **more):
    data = [f"{name}.data.{number}" for number in range(count)]
    for pid in data:
        create(pid, content(pid), "text/csv")
    create(name, content(name), EML)
    create(f"{name}.map", ore(f"{name}.map", name, data), ORE)

def touch(pid, edit):
    meta = mn.getSystemMetadata(pid)
    edit(meta)
    mn.updateSystemMetadata(pid, meta)

def fill():
    for number in range(10):
        package(f"p{number}", 2)
    # Objects without bytes, in series, and with characters that URLs escape.
    create("empty.1", b"", "text/csv", algorithm="MD5")
    create("series.1", content("series"), "text/csv", sid="the.series")
    create("odd/1+é", content("odd"), "text/csv")
    create("awkward", content("awkward"), EML)
    create("awkward.map", ore("awkward.map", "awkward", ["empty.1", "the.series", "odd/1+é"]), ORE)

def change():
    def private(meta):
        meta.accessPolicy = None
    def owner(meta):
        meta.rightsHolder = "CN=somebody"
    def volatile(meta):
        meta.replicationPolicy = dataoneTypes.replicationPolicy(replicationAllowed=True, numberReplicas=3)
    def name(meta):
        meta.fileName = "other.csv"
    mn.archive("p0.data.0")                                    # 1 archived
    touch("p1.data.0", private)                                # 2 private
    mn.delete("p2.data.0")                                     # 3 deleted
    touch("p3.data.0", owner)                                  # 4 other rights holder
    touch("p4.data.0", volatile)                               # 5 volatile parts alone
    touch("p5.data.0", name)                                   # 6 file name
    new = content("p6.data.0", 2)                              # 7 a revised object and a revised map
    mn.update("p6.data.0", new, "p6.data.0.v2", sysmeta("p6.data.0.v2", new, "text/csv"))
    data = ["p6.data.0.v2"] + ["p6.data.1"]
    document = ore("p6.map.v2", "p6", data)
    mn.update("p6.map", document, "p6.map.v2", sysmeta("p6.map.v2", document, ORE))
    package("new", 2)                                          # 8 a new package
    mn.archive("p7.map")                                       # 9 an archived map
    series = content("series", 2)                              # 10 a new head of a series
    mn.update("series.1", series, "series.2", sysmeta("series.2", series, "text/csv", sid="the.series"))

{"fill": fill, "change": change}[action]()
