using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Leither.Ipfs.Keys;

/// <summary>The curve functions of OpenSSL 3's libcrypto: the EVP interface, which is the stable one. It overwrites keys when it frees them.</summary>
internal sealed unsafe class OpenSslCurve25519 : ICurve25519
{
    // From openssl/obj_mac.h: the numbers of algorithms are part of the library's binary interface.
    private const int TypeX25519 = 1034, TypeEd25519 = 1087;

    /// <summary>Whether the library is there and knows both algorithms (one restricted to FIPS may not).</summary>
    public static bool IsAvailable { get; } = Probe();

    public string Name => "OpenSSL";

    public IEd25519Signer CreateSigner(ReadOnlySpan<byte> seed) => new Signer(EvpKey.FromPrivate(TypeEd25519, seed));

    public IEd25519Verifier CreateVerifier(ReadOnlySpan<byte> publicKey) => new Verifier(EvpKey.FromPublic(TypeEd25519, publicKey));

    public IX25519Agreement CreateAgreement(ReadOnlySpan<byte> privateKey) => new Agreement(EvpKey.FromPrivate(TypeX25519, privateKey));

    private static bool Probe()
    {
        if (!NativeLibrary.TryLoad(Native.Library, typeof(OpenSslCurve25519).Assembly, null, out _))
        {
            return false;
        }

        try
        {
            Span<byte> key = stackalloc byte[32];
            using EvpKey signing = EvpKey.FromPrivate(TypeEd25519, key), agreeing = EvpKey.FromPrivate(TypeX25519, key);
            return true;
        }
        catch (Exception e) when (e is CryptographicException or EntryPointNotFoundException)
        {
            return false;
        }
    }

    private static void Check(int result, string function)
    {
        if (result != 1)
        {
            throw Failure(function);
        }
    }

    private static CryptographicException Failure(string function)
    {
        // The queue of errors belongs to the thread; .NET must not find ours there.
        ulong code = Native.ERR_peek_last_error();
        Native.ERR_clear_error();
        return new CryptographicException($"{function} failed in libcrypto: error 0x{code:x}.");
    }

    private sealed class Signer(EvpKey key) : IEd25519Signer
    {
        public void CopyPublicKey(Span<byte> destination) => key.CopyPublic(destination);

        public void Sign(ReadOnlySpan<byte> message, Span<byte> signature)
        {
            nint context = NewContext();
            try
            {
                Check(Native.EVP_DigestSignInit(context, null, 0, 0, key), nameof(Native.EVP_DigestSignInit));
                nuint length = (nuint)signature.Length;
                fixed (byte* m = &Curve25519.Reference(message), s = signature)
                {
                    Check(Native.EVP_DigestSign(context, s, &length, m, (nuint)message.Length), nameof(Native.EVP_DigestSign));
                }

                Debug.Assert(length == Ed25519.SignatureLength);
            }
            finally
            {
                Native.EVP_MD_CTX_free(context);
            }
        }

        public void Dispose() => key.Dispose();
    }

    private sealed class Verifier(EvpKey key) : IEd25519Verifier
    {
        public bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
        {
            nint context = NewContext();
            try
            {
                Check(Native.EVP_DigestVerifyInit(context, null, 0, 0, key), nameof(Native.EVP_DigestVerifyInit));
                fixed (byte* m = &Curve25519.Reference(message), s = signature)
                {
                    if (Native.EVP_DigestVerify(context, s, (nuint)signature.Length, m, (nuint)message.Length) == 1)
                    {
                        return true;
                    }
                }

                Native.ERR_clear_error();
                return false;
            }
            finally
            {
                Native.EVP_MD_CTX_free(context);
            }
        }
    }

    private sealed class Agreement(EvpKey key) : IX25519Agreement
    {
        public void CopyPublicKey(Span<byte> destination) => key.CopyPublic(destination);

        public bool TryAgree(ReadOnlySpan<byte> otherPublicKey, Span<byte> secret)
        {
            using EvpKey other = EvpKey.FromPublic(TypeX25519, otherPublicKey);
            nint context = Native.EVP_PKEY_CTX_new(key, 0);
            if (context == 0)
            {
                throw Failure(nameof(Native.EVP_PKEY_CTX_new));
            }

            try
            {
                Check(Native.EVP_PKEY_derive_init(context), nameof(Native.EVP_PKEY_derive_init));
                // Without its check of the key, which for X25519 is one of the length; what is wrong with a key shows in the secret.
                Check(Native.EVP_PKEY_derive_set_peer_ex(context, other, 0), nameof(Native.EVP_PKEY_derive_set_peer_ex));
                nuint length = (nuint)secret.Length;
                fixed (byte* s = secret)
                {
                    if (Native.EVP_PKEY_derive(context, s, &length) == 1)
                    {
                        return true;
                    }
                }

                // The one way in which this fails with two keys of the right length: the secret would be all zero.
                Native.ERR_clear_error();
                secret.Clear();
                return false;
            }
            finally
            {
                Native.EVP_PKEY_CTX_free(context);
            }
        }

        public void Dispose() => key.Dispose();
    }

    private static nint NewContext()
    {
        nint context = Native.EVP_MD_CTX_new();
        return context != 0 ? context : throw Failure(nameof(Native.EVP_MD_CTX_new));
    }

    /// <summary>An EVP_PKEY. Using it is free of races; so is disposing of it while another thread uses it.</summary>
    private sealed class EvpKey : SafeHandle
    {
        public EvpKey()
            : base(0, ownsHandle: true)
        {
        }

        public override bool IsInvalid => handle == 0;

        public static EvpKey FromPrivate(int type, ReadOnlySpan<byte> key)
        {
            fixed (byte* k = key)
            {
                return Owned(Native.EVP_PKEY_new_raw_private_key(type, 0, k, (nuint)key.Length), nameof(Native.EVP_PKEY_new_raw_private_key));
            }
        }

        public static EvpKey FromPublic(int type, ReadOnlySpan<byte> key)
        {
            fixed (byte* k = key)
            {
                return Owned(Native.EVP_PKEY_new_raw_public_key(type, 0, k, (nuint)key.Length), nameof(Native.EVP_PKEY_new_raw_public_key));
            }
        }

        public void CopyPublic(Span<byte> destination)
        {
            nuint length = (nuint)destination.Length;
            fixed (byte* d = destination)
            {
                Check(Native.EVP_PKEY_get_raw_public_key(this, d, &length), nameof(Native.EVP_PKEY_get_raw_public_key));
            }
        }

        protected override bool ReleaseHandle()
        {
            Native.EVP_PKEY_free(handle);
            return true;
        }

        private static EvpKey Owned(nint handle, string function)
        {
            if (handle == 0)
            {
                throw Failure(function);
            }

            var key = new EvpKey();
            key.SetHandle(handle);
            return key;
        }
    }

    private static class Native
    {
        public const string Library = "libcrypto.so.3";

        [DllImport(Library)]
        public static extern nint EVP_PKEY_new_raw_private_key(int type, nint engine, byte* key, nuint length);

        [DllImport(Library)]
        public static extern nint EVP_PKEY_new_raw_public_key(int type, nint engine, byte* key, nuint length);

        [DllImport(Library)]
        public static extern int EVP_PKEY_get_raw_public_key(EvpKey key, byte* destination, nuint* length);

        [DllImport(Library)]
        public static extern void EVP_PKEY_free(nint key);

        [DllImport(Library)]
        public static extern nint EVP_MD_CTX_new();

        [DllImport(Library)]
        public static extern void EVP_MD_CTX_free(nint context);

        [DllImport(Library)]
        public static extern int EVP_DigestSignInit(nint context, void** keyContext, nint digest, nint engine, EvpKey key);

        [DllImport(Library)]
        public static extern int EVP_DigestSign(nint context, byte* signature, nuint* signatureLength, byte* message, nuint messageLength);

        [DllImport(Library)]
        public static extern int EVP_DigestVerifyInit(nint context, void** keyContext, nint digest, nint engine, EvpKey key);

        [DllImport(Library)]
        public static extern int EVP_DigestVerify(nint context, byte* signature, nuint signatureLength, byte* message, nuint messageLength);

        [DllImport(Library)]
        public static extern nint EVP_PKEY_CTX_new(EvpKey key, nint engine);

        [DllImport(Library)]
        public static extern void EVP_PKEY_CTX_free(nint context);

        [DllImport(Library)]
        public static extern int EVP_PKEY_derive_init(nint context);

        [DllImport(Library)]
        public static extern int EVP_PKEY_derive_set_peer_ex(nint context, EvpKey other, int validate);

        [DllImport(Library)]
        public static extern int EVP_PKEY_derive(nint context, byte* secret, nuint* length);

        [DllImport(Library)]
        public static extern ulong ERR_peek_last_error();

        [DllImport(Library)]
        public static extern void ERR_clear_error();
    }
}
