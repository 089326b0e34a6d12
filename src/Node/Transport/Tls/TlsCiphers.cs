using System.Net.Security;

namespace Leither.Node.Transport.Tls;

/// <summary>
/// <c>tls-ciphers</c> (TLS 1.2) and <c>tls-ciphersuites</c> (TLS 1.3): lists of names with colons between them, in OpenSSL's form or IANA's. OpenSSL's language
/// of classes and exclusions (<c>DEFAULT:!MEDIUM</c>) is not understood: what is to be used has to be named.
/// </summary>
internal static class TlsCiphers
{
    private static readonly TlsCipherSuite[] _tls13 = [TlsCipherSuite.TLS_AES_256_GCM_SHA384, TlsCipherSuite.TLS_CHACHA20_POLY1305_SHA256, TlsCipherSuite.TLS_AES_128_GCM_SHA256];

    /// <summary>Forward secrecy and authenticated encryption alone: what else TLS 1.2 has is not offered.</summary>
    private static readonly (string Name, TlsCipherSuite Suite)[] _tls12 =
    [
        ("ECDHE-ECDSA-AES256-GCM-SHA384", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ("ECDHE-RSA-AES256-GCM-SHA384", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ("ECDHE-RSA-CHACHA20-POLY1305", TlsCipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ("ECDHE-RSA-AES128-GCM-SHA256", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ];

    /// <summary>Reads both; null: the system's own choice, where it cannot be told.</summary>
    /// <exception cref="ArgumentException">A name is not known.</exception>
    public static CipherSuitesPolicy? Read(string ciphers, string suites)
    {
        List<TlsCipherSuite> chosen = suites.Length == 0 ? [.. _tls13] : [.. Names(suites).Select(name => Find(_tls13, name, "tls-ciphersuites"))];
        chosen.AddRange(ciphers.Length == 0
            ? _tls12.Select(static c => c.Suite)
            : Names(ciphers).Select(static name => Array.Find(_tls12, c => c.Name.Equals(name, StringComparison.OrdinalIgnoreCase)) is { Name: not null } known
                ? known.Suite : Find([.. _tls12.Select(static c => c.Suite)], name, "tls-ciphers")));
        if (OperatingSystem.IsWindows())
        {
            return ciphers.Length + suites.Length == 0 ? null : throw new NotSupportedException("tls-ciphers and tls-ciphersuites are the system's to set on Windows");
        }

        return new CipherSuitesPolicy(chosen);
    }

    private static string[] Names(string list) => list.Split(':', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static TlsCipherSuite Find(TlsCipherSuite[] known, string name, string key)
    {
        foreach (TlsCipherSuite suite in known)
        {
            if (suite.ToString().Equals(name, StringComparison.OrdinalIgnoreCase)) return suite;
        }

        throw new ArgumentException($"{key} does not know {name}: it takes names of ciphers with colons between them, as {_tls12[0].Name} or {known[0]}");
    }
}
