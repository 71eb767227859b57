/* Empty on purpose: librdkafka includes this header when built with CMake, even where its only user (OAuth over HTTP) is switched off. */
