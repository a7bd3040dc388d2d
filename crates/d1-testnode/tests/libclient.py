"""Asks a scripted node through dataone-libclient, DataONE's own client for Python.

Usage: libclient.py MEMBER_URL COORDINATING_URL < expectations as JSON
"""

import hashlib
import json
import sys

import d1_client.cnclient_2_0
import d1_client.iter.objectlist
import d1_client.mnclient_1_1
import d1_client.mnclient_2_0
import d1_common.types.exceptions

member_url, coordinating_url = sys.argv[1:]
expected = json.load(sys.stdin)
member = d1_client.mnclient_2_0.MemberNodeClient_2_0(member_url)
coordinating = d1_client.cnclient_2_0.CoordinatingNodeClient_2_0(coordinating_url)


def check(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r} instead of {wanted!r}")


assert member.ping()
check("node", member.getCapabilities().identifier.value(), "urn:node:SCRIPTED")
check("nodes", len(coordinating.listNodes().node), 2)
formats = coordinating.listFormats()
check("formats", (formats.count, len(formats.objectFormat)), (160, 160))

for entry in expected["objects"]:
    pid = entry["identifier"]
    meta = member.getSystemMetadata(pid)
    check(f"identifier of {pid}", meta.identifier.value(), pid)
    check(f"format of {pid}", meta.formatId, entry["format_id"])
    check(f"size of {pid}", int(meta.size), entry["size"])
    check(f"checksum of {pid}", meta.checksum.value().lower(), entry["checksum"].lower())

    content = member.get(pid).content
    check(f"length of {pid}", len(content), entry["size"])
    check(f"digest of {pid}", hashlib.sha256(content).hexdigest(), entry["sha256"])

    headers = member.describe(pid)
    check(f"described size of {pid}", int(headers["Content-Length"]), entry["size"])
    check(
        f"described checksum of {pid}",
        headers["DataONE-Checksum"].lower(),
        f'{entry["algorithm"]},{entry["checksum"]}'.lower(),
    )

    checksum = member.getChecksum(pid, checksumAlgorithm=entry["algorithm"])
    check(f"computed checksum of {pid}", checksum.value().lower(), entry["checksum"].lower())
    check(f"default algorithm of {pid}", member.getChecksum(pid).algorithm, "SHA-1")

    locations = coordinating.resolve(pid)
    check(f"resolved {pid}", locations.identifier.value(), pid)
    check(f"place of {pid}", locations.objectLocation[0].baseURL, member_url)

page = member.listObjects(start=1, count=2)
check("page", (page.start, page.count, page.total), (1, 2, len(expected["objects"])))
listed = d1_client.iter.objectlist.ObjectListIterator(member, pagesize=2)
listed = sorted(entry.identifier.value() for entry in listed)
check("list", listed, sorted(entry["identifier"] for entry in expected["objects"]))

for call in (member.get, member.describe, member.getSystemMetadata, member.getChecksum, coordinating.resolve):
    try:
        call("nothing-has/this+identifier")
        sys.exit(f"{call.__name__} finds what is not there")
    except d1_common.types.exceptions.DataONEException as error:
        # Metacat names a Java class in the headers of HEAD, which this client takes for a failure.
        name = expected["missing"] if call == member.describe else "NotFound"
        check(f"{call.__name__} of what is not there", error.name, name)
        if error.name == "NotFound":
            check(call.__name__, error.identifier, "nothing-has/this+identifier")

first = expected["objects"][0]
old = d1_client.mnclient_1_1.MemberNodeClient_1_1(member_url)
check("version 1", old.getSystemMetadata(first["identifier"]).identifier.value(), first["identifier"])
check("version 1", len(old.get(first["identifier"]).content), first["size"])
print("agreed")
