"""Holds resources of operators against their definitions, as strictly as can be: prints a line for each that passes, and
for each field that is unknown, missing, of another type or does not match its pattern.

The definitions are those of KEDA 2.16.1 and of Prometheus' operator 0.80.1, as models that cloudcoil has generated from
them (cloudcoil-models-keda 2.16.1.0, cloudcoil-models-prometheus-operator 0.80.1.0).

usage: operators.py FILE...
"""

import json
import sys

import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as monitoring
from pydantic import ValidationError

MODELS = {
    ("keda.sh/v1alpha1", "ScaledObject"): keda.ScaledObject,
    ("monitoring.coreos.com/v1", "PodMonitor"): monitoring.PodMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): monitoring.PrometheusRule,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): monitoring.ServiceMonitor,
}

for file in sys.argv[1:]:
    with open(file, encoding="utf-8") as stream:
        for resource in yaml.safe_load_all(stream):
            kind = resource["kind"]
            model = MODELS.get((resource["apiVersion"], kind))
            if model is None:
                continue
            try:
                model.model_validate_json(json.dumps(resource), strict=True, extra="forbid")
                print(f"{file}: passed {kind} {resource['metadata']['name']}")
            except ValidationError as error:
                for found in error.errors():
                    print(f"{file}: refused {kind}: {'.'.join(map(str, found['loc']))}: {found['msg']}")
