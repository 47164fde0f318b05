"""What 1.20 answers otherwise than 1.35, which c8s follows: where it shows, in which requests, and why."""
from api_diff_lib import Known

KNOWN = [
    Known("1.21: namespaces have their name as a label (NamespaceDefaultLabelName)", r"labels(\.kubernetes\.io/metadata\.name)?$",
          "namespaces", ours=r"kubernetes.io/metadata.name|^\S+$"),
]
