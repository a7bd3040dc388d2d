"""Serves a Generic Member Node: serve.py read|write. It prints the port.

Two processes serve one node. The one that writes trusts everybody, because GMN knows no trusted subject without a
certificate. The other one answers as GMN does.
"""
import os
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gmn_settings")
import django

django.setup()
import d1_gmn.app.auth
import django.core.management
import django.core.wsgi

if sys.argv[1] == "write":
    django.core.management.call_command("migrate", verbosity=0)
    d1_gmn.app.auth.get_trusted_subjects = lambda: {"public"}


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass

    def address_string(self):
        return self.client_address[0]


server = make_server("127.0.0.1", 0, django.core.wsgi.get_wsgi_application(), Server, Quiet)
print(server.server_port, flush=True)
server.serve_forever()
