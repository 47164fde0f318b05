#!/usr/bin/env python3
"""Images under the names that Kubernetes' end-to-end suite (1.20) pulls, made from what is here: no registry is asked.

    conformance_images.py AGNHOST PAUSE ARCHIVE

agnhost is the suite's own; busybox is Debian's static one; httpd and nginx are busybox's web server, which is all that
the specs that run them ask for.
"""
import hashlib
import io
import json
import subprocess
import sys
import tarfile

BUSYBOX = "/bin/busybox"


def read(path):
    with open(path, "rb") as f:
        return f.read()


def add(tar, name, data, mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = mode, len(data)
    tar.addfile(entry, io.BytesIO(data))


def layer(files, links=(), directories=()):
    """A layer's bytes: files by path, links to busybox, directories."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in directories:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        for name, (data, mode) in files.items():
            add(tar, name, data, mode)
        for name in links:
            entry = tarfile.TarInfo("bin/" + name)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, BUSYBOX, 0o777
            tar.addfile(entry)
    return out.getvalue()


def shell(more):
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    files = {"bin/busybox": (read(BUSYBOX), 0o755),
             "etc/passwd": (b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n", 0o644),
             "etc/group": (b"root:x:0:\n", 0o644)}
    return layer({**files, **more}, [a for a in applets if a != "busybox"], ["tmp", "root", "bin", "etc", "var", "var/www"])


def images(agnhost, pause):
    """(layer, entry point, command, names) of each."""
    page = {"var/www/index.html": (b"<html><body><h1>It works!</h1></body></html>\n", 0o644)}
    yield shell({"agnhost": (read(agnhost), 0o755)}), ["/agnhost"], ["pause"], ["k8s.gcr.io/e2e-test-images/agnhost:2.21"]
    yield shell({}), None, ["sh"], ["docker.io/library/busybox:1.29"]
    yield (shell(page), None, [BUSYBOX, "httpd", "-f", "-v", "-p", "80", "-h", "/var/www"],
           ["docker.io/library/%s-alpine" % n for n in ("httpd:2.4.38", "httpd:2.4.39", "nginx:1.14", "nginx:1.15")])
    yield layer({"pause": (read(pause), 0o755)}), ["/pause"], None, ["k8s.gcr.io/pause:3.2"]


def main(agnhost, pause, archive):
    manifest = []
    with tarfile.open(archive, "w") as tar:
        for data, entrypoint, command, names in images(agnhost, pause):
            digest = hashlib.sha256(data).hexdigest()
            config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
                      "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/"], "Entrypoint": entrypoint, "Cmd": command}}
            text = json.dumps(config).encode()
            about = hashlib.sha256(text).hexdigest() + ".json"
            add(tar, digest + "/layer.tar", data)
            add(tar, about, text)
            manifest.append({"Config": about, "RepoTags": names, "Layers": [digest + "/layer.tar"]})
        add(tar, "manifest.json", json.dumps(manifest).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
