"""Guest: has temporary files that Python deletes at exit, by a finalizer, by `atexit`, and by a
context. `look` answers whether all are there; `exit` ends the program as an error does."""

import atexit
import os
import shutil
import sys
import tempfile

named = tempfile.NamedTemporaryFile(dir=".")
named.write(b"named")
named.flush()
directory = tempfile.TemporaryDirectory(dir=".")
made = tempfile.mkdtemp(dir=".")
atexit.register(shutil.rmtree, made)
paths = [os.path.abspath(named.name)]
for parent in (directory.name, made):
    paths.append(os.path.abspath(os.path.join(parent, "inner")))
    with open(paths[-1], "w") as file:
        file.write("inner")

with tempfile.TemporaryDirectory(dir=".") as context:
    paths.append(os.path.abspath(context))
    for line in iter(sys.stdin.readline, ""):
        match line.strip():
            case "look":
                found = all(os.path.exists(path) for path in paths)
                print("ok", "all" if found else "some", flush=True)
            case "exit":
                sys.exit(4)
