"""Settings of a Generic Member Node for tests. `GMN_DIRECTORY` has its objects and the socket of its database."""
import os

import d1_common.util

from d1_gmn.settings_template import *

DIRECTORY = os.environ["GMN_DIRECTORY"]
ALLOWED_HOSTS = ["127.0.0.1"]
CLIENT_CERT_PATH = None
CLIENT_CERT_PRIVATE_KEY_PATH = None
NODE_BASEURL = "http://127.0.0.1"
NODE_IDENTIFIER = "urn:node:GMNTEST"
OBJECT_STORE_PATH = os.path.join(DIRECTORY, "objects")
RESOURCE_MAP_CREATE = "open"
SCIMETA_VALIDATION_ENABLED = False
SECRET_KEY = "for tests on the loopback interface"
STAND_ALONE = True
STATIC_ROOT = os.path.join(DIRECTORY, "static")
TRUST_CLIENT_AUTHORITATIVEMEMBERNODE = True
TRUST_CLIENT_DATEUPLOADED = True
TRUST_CLIENT_ORIGINMEMBERNODE = True
TRUST_CLIENT_SERIALVERSION = True
TRUST_CLIENT_SUBMITTER = True
DATABASES["default"].update(NAME="postgres", USER="postgres", HOST=DIRECTORY, PORT="5432")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": True,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "ERROR"},
}
