# One image for every part of Crossfold: coordinator, worker and the command line are verbs of its entry point.
#
#   docker build -t crossfold .                                     for CPUs
#   docker build -t crossfold:gpu --build-arg TENSORFLOW=gpu .      for NVIDIA GPUs: CUDA is inside, hosts need their driver
#   docker run --rm crossfold run examples/mnist-kfold.yaml         a whole cluster in one container
#
# Each stage sees only what it needs, so that TensorFlow (a download of 0.3 GB, with CUDA 3 GB, and a compilation) stays
# cached whatever changes in the code or in other packages.
ARG NODE_IMAGE=node:20-bookworm-slim

# The lock file, cut down to the packages that the binding is compiled from.
FROM ${NODE_IMAGE} AS pins
WORKDIR /src
COPY setup/ setup/
COPY package-lock.json ./
RUN node setup/image.mjs pins /pins

FROM ${NODE_IMAGE} AS tensorflow
RUN apt-get update \
 && apt-get install -y --no-install-recommends binutils g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY --from=pins /pins/ ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY setup/context.mjs setup/download.mjs setup/image.mjs setup/index.mjs setup/lock.mjs setup/prebuilt.mjs setup/say.mjs \
     setup/steps.mjs setup/tensorflow.mjs setup/wheels.mjs setup/wheels.json setup/zip.mjs setup/
ARG TENSORFLOW=cpu
# Without its symbol tables (a quarter of it) the library does the same.
RUN CROSSFOLD_TENSORFLOW=${TENSORFLOW} node setup/image.mjs tensorflow /opt/tensorflow \
 && strip --strip-unneeded /opt/tensorflow/deps/lib/libtensorflow_*.so.2

# nats-server, for `run` and `up` within a single container.
FROM ${NODE_IMAGE} AS broker
WORKDIR /src
COPY setup/broker.mjs setup/context.mjs setup/download.mjs setup/image.mjs setup/index.mjs setup/lock.mjs setup/say.mjs \
     setup/steps.mjs setup/wheels.mjs setup/wheels.json setup/zip.mjs setup/
RUN env PATH=/usr/local/bin node setup/image.mjs broker /opt/broker

FROM ${NODE_IMAGE} AS manifests
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY shared/package.json shared/
COPY worker/package.json worker/
COPY coordinator/package.json coordinator/
COPY library/package.json library/

# What is shipped, as a bill of materials (CycloneDX) for scanners.
FROM manifests AS bill
COPY setup/sbom.mjs setup/wheels.json setup/
RUN node setup/sbom.mjs > /sbom.cdx.json

FROM manifests AS packages
RUN npm ci --ignore-scripts --no-audit --no-fund

# What runs needs of npm's packages: no tools, no source maps or bundles for browsers, and the binding by links to where
# it is copied below.
FROM packages AS modules
RUN npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
 && find node_modules \( -name '*.map' -o -name '*.tsbuildinfo' -o -name '*.min.js.html' \) -type f -delete \
 && find node_modules/@tensorflow/*/dist -maxdepth 1 -type f \
      \( -name 'tf*.min.js' -o -name 'tf*.es2017*.js' -o -name 'tf*.fesm*.js' \) -delete \
 && cd node_modules/@tensorflow/tfjs-node-gpu \
 && mkdir -p lib \
 && ln -s /opt/tensorflow/deps deps \
 && ln -s /opt/tensorflow/lib/napi-v8 lib/napi-v8

FROM packages AS build
COPY tsconfig.json tsconfig.base.json LICENSE ./
COPY shared/ shared/
COPY worker/ worker/
COPY coordinator/ coordinator/
COPY library/ library/
COPY examples/ examples/
# Files have the modes of the checkout, which may be for its owner alone.
RUN node_modules/.bin/tsc -b \
 && for part in shared worker coordinator library; do \
      mkdir -p /out/${part} && cp -r ${part}/package.json ${part}/dist /out/${part}/; \
    done \
 && cp -r coordinator/bin coordinator/assets /out/coordinator/ \
 && cp -r package.json LICENSE examples /out/ \
 && find /out -name '*.d.ts' -type f -delete \
 && chmod -R a+rX /out

FROM ${NODE_IMAGE} AS crossfold
ENV NODE_ENV=production \
    CROSSFOLD_CACHE=/var/lib/crossfold/cache \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# The folders of volumes: what is mounted there first takes their owner.
RUN mkdir -p /work /var/lib/crossfold/broker /var/lib/crossfold/cache /var/lib/crossfold/jetstream \
      /var/lib/crossfold/secrets/client /var/lib/crossfold/secrets/coordinator /var/lib/crossfold/secrets/grafana \
      /var/lib/crossfold/secrets/operator /var/lib/crossfold/secrets/worker \
 && chown -R node:node /var/lib/crossfold /work \
 && ln -s /app/examples /work/examples \
 && ln -s /app/coordinator/bin/crossfold.cjs /usr/local/bin/crossfold
COPY --from=broker /opt/broker/nats-server /usr/local/bin/
COPY --from=tensorflow /opt/tensorflow/ /opt/tensorflow/
COPY --from=modules /app/node_modules/ /app/node_modules/
COPY --from=build /out/ /app/
COPY --from=bill /sbom.cdx.json /app/
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Crossfold" \
      org.opencontainers.image.description="Distributed training and cross-validation of convolutional nets" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 1000:1000
WORKDIR /work
# A service answers on CROSSFOLD_HTTP; a command that answers nowhere counts as healthy.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=6 \
  CMD ["node", "/app/coordinator/bin/healthy.cjs"]
ENTRYPOINT ["node", "/app/coordinator/bin/main.cjs"]
CMD ["--help"]
