#!/usr/bin/env python3
"""Turn a file into a C array: embed.py INPUT SYMBOL OUTPUT."""
import sys

source, symbol, target = sys.argv[1:4]
data = open(source, "rb").read()
rows = [", ".join(str(b) for b in data[i : i + 24]) for i in range(0, len(data), 24)]
with open(target, "w") as out:
    out.write('#include "apiserver/kept/bootstrap.h"\n')
    out.write("const char %s[] = {\n%s,\n0};\n" % (symbol, ",\n".join(rows)))
    out.write("const unsigned long %s_len = %d;\n" % (symbol, len(data)))
